//! All cells together: means over seeds as JSON, and as tables for people.

mod mean;
mod overall;
mod summary;
mod table;
mod tables;
#[cfg(test)]
pub mod tests;

pub use summary::Summary;
pub use tables::markdown;
