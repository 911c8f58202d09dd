//! The scan engine over small models: what it must never touch, and what it must find.

#![allow(clippy::unwrap_used)]

mod classes;
mod common;
mod curvature;
mod exact;
mod finds;
mod first_order;
mod fork;
mod golden;
mod labels;
mod load;
mod losses;
mod nets;
mod second_look;
mod several;
mod sweeps;
mod torch_weights;
mod unchanged;
mod weights;
