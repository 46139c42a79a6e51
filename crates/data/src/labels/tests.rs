use serde_json::json;

use super::*;

fn row(label: Value) -> Row {
    Row::Labelled { text: "a".to_owned(), text_pair: None, label }
}

fn of(labels: Vec<Value>) -> Result<Labels, DataError> {
    let rows: Vec<Row> = labels.into_iter().map(row).collect();
    Labels::of(rows.iter())
}

fn names(of: &[&str]) -> ClassNames {
    of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
}

fn row_of(label: String) -> Row {
    row(label.into())
}

#[test]
fn what_is_written_is_read() {
    let names = || names(&["air", "\"sea\"", "水"]);
    for labels in [Labels::Classes(names()), Labels::Tags(names()), Labels::Several(names()), Labels::Number]
    {
        assert_eq!(Labels::from_json(&labels.to_json()).unwrap(), labels);
    }
    for wrong in [
        "",
        "[]",
        "{\"problem_type\": \"regresion\", \"id2label\": {\"0\": \"a\"}}",
        "{\"id2label\": {\"0\": \"a\"}}",
    ] {
        assert!(Labels::from_json(wrong).is_err(), "{wrong}");
    }
}

fn classes(of: &[&str]) -> Labels {
    Labels::Classes(names(of))
}

#[test]
fn whole_numbers_are_the_distinct_values_in_their_order() {
    assert_eq!(of(vec![json!(2), json!(0)]).unwrap(), classes(&["0", "2"]));
    assert_eq!(of(vec![json!(10), json!(9), json!(10)]).unwrap(), classes(&["9", "10"]));
    assert_eq!(of((1..=5).map(|stars| json!(stars)).collect()).unwrap(), classes(&["1", "2", "3", "4", "5"]));
    assert_eq!(of(vec![json!("10"), json!("2"), json!(2)]).unwrap(), classes(&["2", "10"]));
    // Codes with zeros before them are names.
    assert_eq!(of(vec![json!("010"), json!("2")]).unwrap(), classes(&["010", "2"]));
    let odd = of(vec![json!(0), json!(1), json!(65_535), json!(u64::MAX)]).unwrap();
    assert_eq!(odd.num_labels(), 4);
    let many = of((0..7_305).map(|code| json!(3 * code)).collect()).unwrap();
    assert_eq!(many.summary(), "7305 classes");
    let unknown = many.target(&json!(1)).unwrap_err().problem;
    assert_eq!(unknown, "label \"1\" is none of the training rows': 7305 classes");
}

#[test]
fn names_get_numbers_in_their_order() {
    let spam = of(vec![json!("spam"), json!("ham"), json!("spam")]).unwrap();
    assert_eq!(spam, classes(&["ham", "spam"]));
    assert_eq!(of(vec![json!(true), json!(false)]).unwrap(), classes(&["False", "True"]));
    assert_eq!(of(vec![json!("b, c"), json!("a")]).unwrap().summary(), "2 classes: a, \"b, c\"");
    assert_eq!(of(vec![json!(1), json!("one")]).unwrap(), classes(&["1", "one"]));
    let same = of(vec![json!("one"), json!("one")]).unwrap_err();
    assert_eq!(same.problem, "all rows have the same label, \"one\"");
    assert!(Labels::of([Row::Text("x".to_owned())].iter()).is_err());
}

#[test]
fn minus_one_is_no_label_where_the_others_are_numbers_of_classes() {
    let of = |numbers: &[i64]| of(numbers.iter().map(|number| json!(number)).collect()).unwrap();
    let entailment = of(&[0, 2, 1, -1]);
    assert_eq!(entailment, classes(&["0", "1", "2"]));
    let error = entailment.target(&json!(-1)).unwrap_err();
    assert_eq!(
        (error.kind, error.problem.as_str()),
        (DataErrorKind::NoLabel, "label -1 stands for no label")
    );
    assert_eq!(entailment.target(&json!(-2)).unwrap_err().kind, DataErrorKind::BadRow);
    assert_eq!(of(&[-100, 4, 7]), classes(&["4", "7"]));
    assert_eq!(of(&[-1, 1]), classes(&["-1", "1"]));
    assert_eq!(of(&[-1, 0, 1]), classes(&["-1", "0", "1"]));
    for sentiment in [&[-1i64, 0, 1] as &[i64], &[-1, 1], &[-100, -1, 0, 1]] {
        assert!(of(sentiment).summary().contains("-1 is a class here"), "{sentiment:?}");
    }
    assert_eq!(of(&[-100, -1, 0, 1]), classes(&["-1", "0", "1"]));
    for other in [&[-1i64, 0, 1, 2] as &[i64], &[-2, -1, 1], &[0, 1]] {
        assert!(!of(other).summary().contains("is a class"), "{other:?}");
    }
    assert_eq!(of(&[-1, 0]), classes(&["-1", "0"]));
    assert_eq!(of(&[-2, -1, 0, 1, 2]), classes(&["-2", "-1", "0", "1", "2"]));
    // A validation row of a set whose training rows all have a label.
    assert_eq!(of(&[0, 1]).target(&json!(-1)).unwrap_err().kind, DataErrorKind::NoLabel);
    assert_eq!(classes(&["bad", "good"]).target(&json!(-1)).unwrap_err().kind, DataErrorKind::BadRow);
}

#[test]
fn fractions_are_numbers() {
    assert_eq!(of(vec![json!(-1), json!(0.5), json!(2)]).unwrap(), Labels::Number);
    // datasets has 1.0 in a column of floats, from which run_classification.py learns numbers.
    assert_eq!(of(vec![json!(1.0), json!(0.0)]).unwrap(), Labels::Number);
    let numbers = of(vec![json!(2), json!(2.5)]).unwrap();
    assert_eq!(numbers, Labels::Number);
    assert_eq!(numbers.target(&json!(2.5)).unwrap(), Target::Number(2.5));
    assert!(numbers.target(&json!("two")).is_err());
    // A few that are none do not make a class of each number.
    assert_eq!(of(vec![json!(1.5), json!("n/a"), json!(2.5), json!(4)]).unwrap(), Labels::Number);
    assert_eq!(of(vec![json!("beta"), json!("rc"), json!(2.5)]).unwrap(), classes(&["2.5", "beta", "rc"]));
    // Whole numbers that pandas wrote with a point are the classes all the same.
    let stars = of(vec![json!(1), json!(5)]).unwrap();
    assert_eq!(stars.target(&json!(5.0)).unwrap(), Target::Class(1));
    assert_eq!(stars.target(&json!(-1.0)).unwrap_err().kind, DataErrorKind::NoLabel);
    assert!(stars.target(&json!(1.5)).is_err());
}

#[test]
fn lists_are_several_classes() {
    assert!(of(vec![json!(["only"]), json!([])]).is_err());
    let several = of(vec![json!(["sport", "news"]), json!([])]).unwrap();
    assert_eq!(several, Labels::Several(names(&["news", "sport"])));
    assert_eq!(several.target(&json!(["sport"])).unwrap(), Target::Classes(vec![0.0, 1.0]));
    assert!(several.target(&json!("sport")).is_err());
    assert!(several.target(&json!(["art"])).is_err());
    assert!(several.target(&json!(["news", null])).unwrap_err().problem.contains("a label is null"));
    assert!(of(vec![json!([1.0]), json!([0.0])]).unwrap_err().problem.contains("a list of one number"));
    let numbered = of(vec![json!([0, 2]), json!([1])]).unwrap();
    assert_eq!(numbered.target(&json!([0, 2])).unwrap(), Target::Classes(vec![1.0, 0.0, 1.0]));
    // Lists of zeros and ones of different lengths, none twice, are the numbers of two classes.
    let two = of(vec![json!([0, 1]), json!([1]), json!([])]).unwrap();
    assert!(matches!(two, Labels::Several(_)));
    assert_eq!(two.target(&json!([0, 1])).unwrap(), Target::Classes(vec![1.0, 1.0]));
}

#[test]
fn lists_with_an_entry_for_each_class() {
    let four =
        of(vec![json!([1, 0, 1, 0]), json!([0, 0, 0, 0]), json!([0, 1, 0, 0]), json!([0, 0, 1, 1])]).unwrap();
    assert!(matches!(four, Labels::MultiHot(_)));
    assert_eq!(four, Labels::Several(names(&["0", "1", "2", "3"])));
    assert_eq!(four.target(&json!([1, 0, 1, 0])).unwrap(), Target::Classes(vec![1.0, 0.0, 1.0, 0.0]));
    assert_eq!(four.target(&json!([0, 0, 0, 0])).unwrap(), Target::Classes(vec![0.0; 4]));
    let short = four.target(&json!([0, 1])).unwrap_err().problem;
    assert!(short.contains("lists 2 numbers, and there are 4 classes"), "{short}");
    assert!(four.target(&json!([0, 0, 2, 1])).unwrap_err().problem.contains("label[2] is 2"));
    for two in [
        vec![json!([0, 1]), json!([1, 0])],
        vec![json!([true, false]), json!([true, true])],
        vec![json!([0.0, 1]), json!([1, 1])],
    ] {
        let found = of(two.clone()).unwrap();
        assert!(matches!(found, Labels::MultiHot(_)), "{two:?}");
        assert_eq!(found.names(), ["0", "1"]);
    }
    let hot = of(vec![json!([0.0, 1.0, 1.0]), json!([0.0, 0.0, 0.0])]).unwrap();
    assert_eq!(hot, Labels::Several(names(&["0", "1", "2"])));
    assert_eq!(hot.target(&json!([0.0, 1.0, 0.0])).unwrap(), Target::Classes(vec![0.0, 1.0, 0.0]));
    assert!(hot.target(&json!([0.0, 0.5, 0.0])).is_err());
}

#[test]
fn a_hundred_thousand_classes_are_found_in_no_time() {
    let rows: Vec<Row> = (0..100_000).map(|row| row_of(format!("class {row}"))).collect();
    let labels = Labels::of(rows.iter()).unwrap();
    let began = std::time::Instant::now();
    for row in 0..100_000 {
        assert!(labels.target(&json!(format!("class {row}"))).is_ok());
        assert!(labels.target(&json!(format!("other {row}"))).is_err());
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
