//! A network for the targets that need one.

use limpq_core::graph::{Builder, Conv, Graph, Shape};
use std::sync::LazyLock;

/// Two layers whose bits are searched, between a stem and a classifier.
pub static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let (mut b, x) = Builder::new("tiny", Shape::new(3, 8, 8).expect("a shape"), 10);
    let x = b.fixed_conv("stem", x, Conv::new(8, 3));
    let x = b.conv("body", x, Conv::new(16, 3));
    let x = b.conv("tail", x, Conv::new(16, 1));
    b.classifier("fc", x);
    b.finish().expect("a network")
});
