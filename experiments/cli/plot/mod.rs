//! Pictures: curves, maps and panels, as SVG or as PNG. What is drawn is data; the drawing is the feature `plots`.

#[cfg(feature = "plots")]
mod draw;

use std::ops::Range;

/// How the points of a curve are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// Straight lines.
    Line,
    /// Steps: a value holds up to the next point.
    Steps,
    /// Not joined.
    Dots,
}

/// Points to draw, each with a label that may be empty.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name, for the legend.
    pub name: String,
    /// How its points are joined.
    pub look: Look,
    /// The points, in drawing order.
    pub points: Vec<(f64, f64)>,
    /// One label per point, or none.
    pub labels: Vec<String>,
}

/// A picture.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Curves over one axis.
    Curves {
        /// The title.
        title: String,
        /// Names of both axes, with units.
        axes: [String; 2],
        /// Whether the horizontal axis shows logarithms to base 10 of its values.
        log_x: bool,
        /// What to draw.
        curves: Vec<Curve>,
    },
    /// Colours over two axes.
    Map {
        /// The title.
        title: String,
        /// Names of both axes and of what the colours stand for, with units.
        axes: [String; 3],
        /// Left, right, lower and upper end of each cell, with its value, if it has one.
        cells: Vec<([f64; 4], Option<f64>)>,
        /// Meaning of a cell without a value.
        empty: String,
        /// Labelled points.
        marks: Vec<((f64, f64), String)>,
    },
    /// Charts side by side.
    Panels(Panels),
}

/// Charts side by side.
#[derive(Clone, Debug)]
pub struct Panels {
    /// The title.
    pub title: String,
    /// Name of the horizontal axis, with its unit.
    pub x: String,
    /// The legend.
    pub keys: Vec<(String, Colour)>,
    /// Number of panels in a row.
    pub columns: usize,
    /// Width and height of a panel.
    pub size: (u32, u32),
    /// The panels, row by row.
    pub panels: Vec<Panel>,
}

/// A panel.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The title.
    pub title: String,
    /// Whether the vertical axis is logarithmic. Values without a logarithm are left out.
    pub log_y: bool,
    /// The vertical range. Values beyond it are drawn at its edge.
    pub y: Range<f64>,
    /// Its lines; later ones are drawn over earlier ones.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its colour.
    pub colour: Colour,
    /// How it looks.
    pub stroke: Stroke,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// A line's colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Colour {
    /// The colour of text.
    Ink,
    /// One of nine distinguishable colours, which then repeat.
    Nth(usize),
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stroke {
    /// In the foreground.
    Plain,
    /// In the background.
    Faint,
    /// With a dot at each point.
    Dotted,
}

/// The error of a program without the feature `plots`.
#[cfg(not(feature = "plots"))]
const NO_PLOTS: &str = "this limpq was built without the feature `plots`, so it draws nothing; \
                        build it with the default features, or add `--features plots`";

/// Checks that this program can draw.
///
/// # Errors
/// It was built without the feature `plots`.
pub fn available() -> anyhow::Result<()> {
    #[cfg(not(feature = "plots"))]
    anyhow::bail!(NO_PLOTS);
    #[cfg(feature = "plots")]
    Ok(())
}

impl Picture {
    /// As SVG.
    ///
    /// # Errors
    /// Nothing to draw; a program without the feature `plots`.
    pub fn svg(&self) -> anyhow::Result<String> {
        #[cfg(not(feature = "plots"))]
        anyhow::bail!(NO_PLOTS);
        #[cfg(feature = "plots")]
        draw::svg(self)
    }

    /// As PNG: the SVG, rendered.
    ///
    /// # Errors
    /// As [`Self::svg`].
    pub fn png(&self) -> anyhow::Result<Vec<u8>> {
        #[cfg(not(feature = "plots"))]
        anyhow::bail!(NO_PLOTS);
        #[cfg(feature = "plots")]
        draw::png(self)
    }
}
