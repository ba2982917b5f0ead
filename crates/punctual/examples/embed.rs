//! A closure on a durable schedule. Stop it, wait, start it again: what was missed is made up for, once.

use punctual::{Job, Scheduler};
use std::time::Duration;

fn main() -> Result<(), punctual::Error> {
    let mut scheduler = Scheduler::open("greetings")?;
    scheduler.add(Job::new("greet").every(Duration::from_secs(2)), |_: (), call| {
        println!("hello at {}, attempt {} of run {}", call.nominal(), call.attempt(), call.run());
        Ok(())
    })?;
    scheduler.run()
}
