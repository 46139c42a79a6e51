//! The curves of a run in the terminal, while it trains: `lorelei train --tui`.

use std::{collections::VecDeque, io::IsTerminal as _, time::Duration};

use lorelei_train::{Event, StepLog};
use miette::{IntoDiagnostic as _, Result, miette};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event as Input, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Style},
    symbols::Marker,
    text::Line,
    widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph},
};

/// Number of lines that are kept.
const LINES: usize = 100;

/// The terminal, taken over until this value is dropped.
pub struct Tui {
    terminal: DefaultTerminal,
    curves: Curves,
}

impl Tui {
    /// Takes over the terminal.
    ///
    /// # Errors
    ///
    /// If there is no terminal.
    pub fn new() -> Result<Self> {
        if !std::io::stdout().is_terminal() {
            return Err(miette!("--tui needs a terminal: leave it out where the output goes elsewhere"));
        }
        let terminal = ratatui::try_init().into_diagnostic()?;
        Ok(Self { terminal, curves: Curves::default() })
    }

    /// Shows an event.
    pub fn event(&mut self, event: &Event) {
        self.curves.take(event);
        self.draw();
    }

    /// Shows a line.
    pub fn say(&mut self, line: &str) {
        self.curves.say(line);
        self.draw();
    }

    fn draw(&mut self) {
        // A run does not end because its terminal is gone.
        let _ = self.terminal.draw(|frame| self.curves.render(frame));
    }

    /// Whether the user has asked for the end of the run: with q, escape or control-c.
    pub fn is_over(&mut self) -> bool {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Input::Key(key)) if key.is_press() => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return true,
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
                    _ => {}
                },
                Ok(Input::Resize(..)) => self.draw(),
                _ => {}
            }
        }
        false
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
    }
}

/// Contents of the screen.
#[derive(Default)]
struct Curves {
    losses: Vec<(f64, f64)>,
    evaluations: Vec<(f64, f64)>,
    rates: Vec<(f64, f64)>,
    lines: VecDeque<String>,
    total: usize,
    step: usize,
    last: Option<StepLog>,
}

impl Curves {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Started(started) => (self.total, self.step) = (started.total_steps, started.first_step),
            Event::Progress { step } => self.step = *step,
            Event::Step(log) => {
                self.step = log.step;
                self.losses.push((log.step as f64, log.loss));
                self.rates.push((log.step as f64, log.learning_rate));
                self.last = Some(log.clone());
            }
            Event::Evaluated(evaluation) => {
                self.evaluations.push((evaluation.step as f64, evaluation.loss()));
            }
            _ => {}
        }
    }

    fn say(&mut self, line: &str) {
        self.lines.extend(line.lines().map(str::to_owned));
        while self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }

    fn render(&self, frame: &mut Frame<'_>) {
        let rows = [Constraint::Length(3), Constraint::Min(8), Constraint::Length(6)];
        let [top, middle, bottom] = Layout::vertical(rows).areas(frame.area());
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(70), Constraint::Percentage(30)]).areas(middle);
        let share = self.step as f64 / self.total.max(1) as f64;
        let left_time = self.last.as_ref().map(|log| {
            format!(" · {:.0} tokens/s · {:.0} s left", log.tokens_per_second, log.remaining_seconds)
        });
        let label = format!("{}/{}{}", self.step, self.total, left_time.unwrap_or_default());
        let gauge = Gauge::default()
            .block(Block::bordered().title(" lorelei · q ends the run and saves "))
            .gauge_style(Style::new().fg(Color::Cyan))
            .ratio(share.clamp(0.0, 1.0))
            .label(label);
        frame.render_widget(gauge, top);
        let loss = self.last.as_ref().map_or(String::new(), |log| format!(" {:.4}", log.loss));
        let curves: [Curve<'_>; 2] =
            [("loss", &self.losses, Color::Cyan), ("evaluation", &self.evaluations, Color::Yellow)];
        frame.render_widget(chart(format!(" loss{loss} "), &curves, self.total), left);
        let rate = self.last.as_ref().map_or(String::new(), |log| format!(" {:.2e}", log.learning_rate));
        let rates: [Curve<'_>; 1] = [("", &self.rates, Color::Green)];
        frame.render_widget(chart(format!(" learning rate{rate} "), &rates, self.total), right);
        let shown = usize::from(bottom.height.saturating_sub(2));
        let lines = self.lines.iter().skip(self.lines.len().saturating_sub(shown));
        let lines: Vec<Line<'_>> = lines.map(|line| Line::raw(line.as_str())).collect();
        frame.render_widget(Paragraph::new(lines).block(Block::bordered()), bottom);
    }
}

/// A curve: its name, its steps with their values, and its colour.
type Curve<'a> = (&'a str, &'a [(f64, f64)], Color);

fn chart<'a>(title: String, curves: &[Curve<'a>], total: usize) -> Chart<'a> {
    let values = || curves.iter().flat_map(|(_, points, _)| points.iter().map(|(_, y)| *y));
    let (low, high) =
        values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    // A level line is drawn in the middle.
    let (low, high) = match low < high {
        true => (low, high),
        false if low.is_finite() => (low - 0.5 * low.abs().max(1e-12), low + 0.5 * low.abs().max(1e-12)),
        false => (0.0, 1.0),
    };
    let number = |value: f64| match value.abs() {
        small if small > 0.0 && small < 0.01 => format!("{value:.1e}"),
        _ => format!("{value:.2}"),
    };
    let sets = curves.iter().filter(|(_, points, _)| !points.is_empty()).map(|(name, points, color)| {
        let set = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line);
        set.name(*name).style(Style::new().fg(*color)).data(points)
    });
    let end = total.max(1) as f64;
    Chart::new(sets.collect())
        .block(Block::bordered().title(title))
        .x_axis(Axis::default().bounds([0.0, end]).labels(["0".to_owned(), total.to_string()]))
        .y_axis(Axis::default().bounds([low, high]).labels([number(low), number(high)]))
}

#[cfg(test)]
mod tests {
    use lorelei_train::Started;
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn log(step: usize, loss: f64) -> StepLog {
        let mut log: serde_json::Value = serde_json::json!({ "kernel_flops": null, "kernel_bytes": null });
        for key in ["epoch", "grad_norm", "elapsed_seconds"] {
            log[key] = 0.0.into();
        }
        for key in ["memory_bytes", "device_memory_bytes"] {
            log[key] = 0.into();
        }
        (log["step"], log["loss"], log["learning_rate"]) = (step.into(), loss.into(), 5e-4.into());
        (log["tokens_per_second"], log["remaining_seconds"]) = (321.0.into(), 7.0.into());
        serde_json::from_value(log).unwrap()
    }

    fn text(curves: &Curves) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|frame| curves.render(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_run_is_drawn_from_its_first_event_to_its_last() {
        let mut curves = Curves::default();
        assert!(text(&curves).contains("0/0"));
        let started = Started {
            first_step: 0,
            num_examples: 8,
            total_steps: 40,
            warmup_steps: 0,
            num_epochs: 1.0,
            effective_batch_size: 1,
            trainable_parameters: 1,
            all_parameters: 2,
        };
        curves.take(&Event::Started(started));
        curves.take(&Event::Step(log(1, 4.0)));
        assert!(text(&curves).contains("loss 4.0000"));
        (2..=40).for_each(|step| curves.take(&Event::Step(log(step, 4.0 / step as f64))));
        curves.say("saved checkpoint-40");
        let drawn = text(&curves);
        for words in ["40/40", "321 tokens/s", "4.00", "0.10", "5.00e-4", "saved checkpoint-40"] {
            assert!(drawn.contains(words), "no {words} in\n{drawn}");
        }
        // Part of the curve itself.
        assert!(drawn.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{drawn}");
        // Numbers that cannot be drawn do no harm, and neither does a window that is too small.
        curves.take(&Event::Step(StepLog { loss: f64::INFINITY, ..log(41, 1.0) }));
        let mut small = Terminal::new(TestBackend::new(3, 2)).unwrap();
        small.draw(|frame| curves.render(frame)).unwrap();
    }
}
