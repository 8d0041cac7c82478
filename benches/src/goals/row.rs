//! One goal: what was measured, what it should be, and whether it is.

use crate::table::figures;
use serde_json::{Value, json};

/// One goal.
pub(super) struct Row {
    what: String,
    figure: Option<f64>,
    goal: Option<Goal>,
}

/// What a figure should be.
#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    /// A figure that should not be larger.
    pub(super) fn at_most(what: impl Into<String>, figure: impl Into<Option<f64>>, goal: f64) -> Self {
        Self { what: what.into(), figure: figure.into(), goal: Some(Goal::AtMost(goal)) }
    }

    /// A figure that should not be smaller.
    pub(super) fn at_least(what: impl Into<String>, figure: impl Into<Option<f64>>, goal: f64) -> Self {
        Self { what: what.into(), figure: figure.into(), goal: Some(Goal::AtLeast(goal)) }
    }

    /// A part that could not be measured.
    pub(super) fn failed(what: String) -> Self {
        Self { what, figure: None, goal: None }
    }

    /// Whether the goal is reached; nothing where there is no figure.
    fn reached(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::AtMost(goal) => self.figure? <= goal,
            Goal::AtLeast(goal) => self.figure? >= goal,
        })
    }

    fn goal(&self) -> String {
        match self.goal {
            Some(Goal::AtMost(goal)) => format!("at most {goal}"),
            Some(Goal::AtLeast(goal)) => format!("at least {goal}"),
            None => String::new(),
        }
    }

    /// For the table.
    pub(super) fn cells(&self) -> [String; 4] {
        let reached = self.reached().map_or("-", |reached| if reached { "yes" } else { "no" });
        [self.what.clone(), self.figure.map_or("-".to_owned(), figures), self.goal(), reached.to_owned()]
    }

    /// For files.
    pub(super) fn json(&self) -> Value {
        json!({ "what": self.what, "figure": self.figure, "goal": self.goal(), "reached": self.reached() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_on_its_side_only() {
        let reached = |row: Row| row.cells()[3].clone();
        assert_eq!(reached(Row::at_most("a", 1.0, 1.0)), "yes");
        assert_eq!(reached(Row::at_most("a", 1.1, 1.0)), "no");
        assert_eq!(reached(Row::at_least("a", 1.1, 1.0)), "yes");
        assert_eq!(reached(Row::at_least("a", 0.9, 1.0)), "no");
        assert_eq!(reached(Row::at_least("a", None, 1.0)), "-");
    }
}
