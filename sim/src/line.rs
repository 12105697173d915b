//! The line between the world and the broker.
//!
//! Everything either says to the other passes through here. An honest line changes nothing. Tests put a dishonest one in,
//! which breaks one rule of the shell or of the broker, and see that a checker notices: a checker that cannot fail
//! checks nothing.

use broker::{Action, Config, Input};

/// What a line may do to what passes.
pub trait Line {
    /// The configuration, on its way to the broker.
    fn config(&mut self, config: Config) -> Config {
        config
    }

    /// An input, on its way to the broker. Every input returned arrives, in order.
    fn input(&mut self, input: Input) -> Vec<Input> {
        vec![input]
    }

    /// An action, on its way to the world. Every action returned is carried out, in order.
    fn action(&mut self, action: Action) -> Vec<Action> {
        vec![action]
    }
}

/// Passes everything on as it is.
#[derive(Debug)]
pub struct Honest;

impl Line for Honest {}
