//! Learning rates and step counts against tables of Transformers' own.

use lorelei_recipe::{
    LrSchedulerKwargs, LrSchedulerType, Recipe, Schedule, StepPlan, TrainingArguments, learning_rate,
};

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

fn kind(name: &str) -> LrSchedulerType {
    serde_json::from_value(name.into()).unwrap()
}

#[test]
fn learning_rates_are_those_of_get_scheduler() {
    let (mut tables, mut compared) = (0, 0);
    for row in lines(include_str!("fixtures/schedules.txt")) {
        let (kind, total_steps, warmup_steps) =
            (kind(row[0]), row[1].parse().unwrap(), row[2].parse().unwrap());
        let kwargs: LrSchedulerKwargs = serde_json::from_str(row[3]).unwrap();
        let base_lr: f64 = row[4].parse().unwrap();
        let schedule = Schedule { kind, kwargs, base_lr, warmup_steps, total_steps };
        for (index, expected) in (0..).zip(&row[5..]) {
            let expected: f64 = expected.parse().unwrap();
            let found = schedule.learning_rate(index);
            assert_eq!(found.to_bits(), expected.to_bits(), "{:?} at {index}: {found:e}", &row[..5]);
            if kwargs.is_empty() {
                assert_eq!(learning_rate(kind, base_lr, index, warmup_steps, total_steps), found);
            }
            compared += 1;
        }
        tables += 1;
    }
    assert!(tables == 101 && compared > 2000, "{tables} {compared}");
}

#[test]
fn warm_up_is_rounded_up_in_double_precision() {
    let mut compared = 0;
    for row in lines(include_str!("fixtures/warmup.txt")) {
        let (total, expected): (i64, u64) = (row[0].parse().unwrap(), row[2].parse().unwrap());
        let given: f64 = row[1].parse().unwrap();
        let training = TrainingArguments { max_steps: total, warmup_steps: given, ..Default::default() };
        assert_eq!(StepPlan::new(7, &training).unwrap().warmup_steps, expected, "{row:?}");
        if given < 1.0 {
            let training = TrainingArguments { max_steps: total, warmup_ratio: given, ..Default::default() };
            assert_eq!(
                StepPlan::new(7, &training).unwrap().warmup_steps,
                expected,
                "{row:?} as warmup_ratio"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 104);
    let both =
        TrainingArguments { max_steps: 100, warmup_steps: 3.0, warmup_ratio: 0.5, ..Default::default() };
    assert_eq!(StepPlan::new(7, &both).unwrap().warmup_steps, 3);
    let all = TrainingArguments { max_steps: 100, warmup_ratio: 1.0, ..Default::default() };
    assert_eq!(StepPlan::new(7, &all).unwrap().warmup_steps, 100);
}

#[test]
fn steps_are_counted_like_the_trainer() {
    let (mut compared, mut refused) = (0, 0);
    for row in lines(include_str!("fixtures/trainer_computed.txt")) {
        let training = TrainingArguments {
            per_device_train_batch_size: row[1].parse().unwrap(),
            gradient_accumulation_steps: row[2].parse().unwrap(),
            num_train_epochs: row[3].parse().unwrap(),
            dataloader_drop_last: row[4].parse().unwrap(),
            max_steps: row[5].parse().unwrap(),
            ..Default::default()
        };
        let plan = StepPlan::new(row[0].parse().unwrap(), &training);
        if row.len() == 7 {
            // With max_steps the Trainer would draw from an empty loader for ever; here both are an error.
            let error = plan.unwrap_err();
            assert_eq!(error.key, "training.dataloader_drop_last", "{row:?}");
            refused += 1;
            continue;
        }
        let plan = plan.unwrap();
        let found = [
            plan.micro_batches_per_epoch.to_string(),
            plan.steps_per_epoch.to_string(),
            plan.total_steps.to_string(),
            plan.num_train_epochs.to_string(),
        ];
        assert_eq!(found, row[6..], "{row:?}");
        compared += 1;
    }
    assert!(compared > 400 && refused > 30, "{compared} {refused}");
}

#[test]
fn runs_go_like_the_trainers() {
    let runs: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/trainer_ran.json")).unwrap();
    assert_eq!(runs.len(), 13);
    for run in runs {
        let mut args = run["args"].as_object().unwrap().clone();
        // The defaults with which the table was made.
        for name in ["logging_strategy", "save_strategy"] {
            args.entry(name).or_insert("no".into());
        }
        args.entry("learning_rate").or_insert(5e-4.into());
        let text = serde_json::json!({ "training": args }).to_string();
        let (recipe, _) = Recipe::from_json(&text, "run.json").unwrap();
        let plan = StepPlan::new(run["examples"].as_u64().unwrap() as usize, &recipe.training).unwrap();
        assert_eq!(plan.total_steps, run["steps"].as_u64().unwrap(), "{run}");
        let numbers = |name: &str| -> Vec<f64> {
            let list = run[name].as_array().unwrap();
            list.iter().map(|number| number.as_str().unwrap().parse().unwrap()).collect()
        };
        let steps = |name: &str| -> Vec<u64> {
            run[name].as_array().unwrap().iter().map(|step| step.as_u64().unwrap()).collect()
        };
        let all = || 1..=plan.total_steps;
        assert_eq!(all().map(|step| plan.epoch_at(step)).collect::<Vec<_>>(), numbers("epoch"), "{run}");
        let rate = |step: u64| {
            let training = &recipe.training;
            let kind = training.lr_scheduler_type;
            learning_rate(kind, training.learning_rate, step - 1, plan.warmup_steps, plan.total_steps)
        };
        assert_eq!(all().map(rate).collect::<Vec<_>>(), numbers("learning_rate"), "{run}");
        let micro: Vec<u64> = all().map(|step| plan.micro_batches(step).1.len() as u64).collect();
        assert_eq!(micro, steps("micro_batches"), "{run}");
        assert_eq!(
            all().filter(|step| plan.is_logging_step(*step)).collect::<Vec<_>>(),
            steps("logged"),
            "{run}"
        );
        assert_eq!(
            all().filter(|step| plan.is_save_step(*step)).collect::<Vec<_>>(),
            steps("saved"),
            "{run}"
        );
        let evaluated: Vec<u64> = all().filter(|step| plan.is_eval_step(*step)).collect();
        assert_eq!(evaluated, steps("evaluated"), "{run}");
    }
}

#[test]
fn numbers_that_make_no_run_are_errors() {
    let broken = [
        TrainingArguments { per_device_train_batch_size: 0, ..Default::default() },
        TrainingArguments { gradient_accumulation_steps: 0, ..Default::default() },
        TrainingArguments { num_train_epochs: f64::NAN, ..Default::default() },
        TrainingArguments { num_train_epochs: 0.0, ..Default::default() },
        TrainingArguments { num_train_epochs: 1e300, ..Default::default() },
        TrainingArguments { max_steps: i64::MAX, ..Default::default() },
    ];
    for training in broken {
        assert!(StepPlan::new(10, &training).unwrap_err().key.starts_with("training."), "{training:?}");
    }
    assert_eq!(StepPlan::new(0, &TrainingArguments::default()).unwrap_err().key, "data.train_file");
}
