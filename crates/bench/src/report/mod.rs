//! All cells together: means over seeds as JSON, and as tables for people.

mod brief;
mod mean;
mod overall;
mod summary;
pub mod table;
mod tables;
#[cfg(test)]
pub mod tests;

pub use brief::brief;
pub use summary::Summary;
pub use tables::markdown;
