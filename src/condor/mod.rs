//! HTCondor's dialect: what its tools are called, what they want and what they say. It knows
//! neither Kubernetes nor our store; [`cli`] is the only place that starts processes.

pub mod act;
pub mod ad;
pub mod answer;
pub mod attributes;
pub mod cli;
pub mod expression;
pub mod failure;
pub mod history;
pub mod holds;
pub mod inspect;
pub mod newest;
pub mod options;
pub mod pool;
pub mod probe;
pub mod query;
pub mod quote;
pub mod riddle;
pub mod schedd;
pub mod status;
pub mod steps;
pub mod submit;
pub mod tail;
pub mod whose;
