//! Charts side by side that share their horizontal axis and the legend above them.

use super::{
    super::{Colour, Panel, Panels, Stroke},
    axis::Axis,
    chart::{COLOURS, Canvas, INK, range, shown, text, tick},
};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::ops::Range;

/// Coordinates in SVGs of plotters are integers. So panels are drawn larger and scaled down: otherwise a line that
/// hardly moves would have stairs.
pub(super) const FINE: u32 = 4;

/// For more than six bit-widths.
const MORE_COLOURS: [RGBColor; 3] = [RGBColor(120, 85, 50), RGBColor(130, 130, 130), RGBColor(70, 60, 150)];
const MARGIN: u32 = 16;
/// Title and legend.
const HEAD: u32 = 66;
/// Name of the horizontal axis.
const FOOT: u32 = 34;
const ROW: u32 = 22;

/// A length on the canvas.
fn px(length: u32) -> i32 {
    (length * FINE) as i32
}

fn font(size: f64) -> TextStyle<'static> {
    text(size * f64::from(FINE))
}

impl Panels {
    /// Width and height of the picture.
    pub(super) fn size(&self) -> (u32, u32) {
        let (columns, rows) = (self.columns.max(1) as u32, self.panels.len().div_ceil(self.columns.max(1)) as u32);
        (columns * self.size.0 + 2 * MARGIN, HEAD + rows * self.size.1 + FOOT)
    }

    /// On a canvas that is [`FINE`] times as large.
    pub(super) fn draw(&self, canvas: &Canvas) -> anyhow::Result<()> {
        let points = || self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let x = range(points().map(|point| point.0), 0.0);
        let x = x.ok_or_else(|| anyhow::anyhow!("{}: there is nothing to draw", self.title))?;
        self.head(canvas)?;
        for (place, panel) in self.panels.iter().enumerate() {
            let (row, column) = ((place / self.columns.max(1)) as u32, (place % self.columns.max(1)) as u32);
            let corner = (px(MARGIN + column * self.size.0), px(HEAD + row * self.size.1));
            let area = canvas.clone().shrink(corner, (px(self.size.0), px(self.size.1)));
            panel.draw(&area, x.clone(), self.size)?;
        }
        let (width, height) = self.size();
        let style = font(14.0).pos(Pos::new(HPos::Center, VPos::Center));
        canvas.draw_text(&self.x, &style, (px(width / 2), px(height - FOOT / 2)))?;
        Ok(())
    }

    /// The title, and below it the legend.
    fn head(&self, canvas: &Canvas) -> anyhow::Result<()> {
        let left = Pos::new(HPos::Left, VPos::Center);
        let (mut x, y) = (px(MARGIN + 8), px(2 * ROW + 2));
        canvas.draw_text(&shown(&self.title), &font(17.0).pos(left), (x, px(ROW)))?;
        let style = font(13.0).pos(left);
        for (name, colour) in &self.keys {
            let name = shown(name);
            canvas.draw(&PathElement::new(vec![(x, y), (x + px(24), y)], colour.rgb().stroke_width(3 * FINE)))?;
            canvas.draw_text(&name, &style, (x + px(30), y))?;
            x += px(52) + canvas.estimate_text_size(&name, &style)?.0 as i32;
        }
        Ok(())
    }
}

impl Panel {
    fn draw(&self, area: &Canvas, x: Range<f64>, (width, height): (u32, u32)) -> anyhow::Result<()> {
        let axis = Axis::new(self.y.clone(), self.log_y, (height / 36).clamp(3, 9));
        area.draw_text(&shown(&self.title), &font(12.0).pos(Pos::new(HPos::Left, VPos::Top)), (px(8), px(4)))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(px(22))
            .margin_right(px(14))
            .margin_bottom(px(6))
            .x_label_area_size(px(20))
            .y_label_area_size(px(52))
            .build_cartesian_2d(x, axis.clone())?;
        let y_tick = |value: &f64| axis.figure(*value);
        let x_tick = |value: &f64| tick(*value);
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(INK.mix(0.13).stroke_width(FINE))
            .axis_style(INK.stroke_width(FINE))
            .set_all_tick_mark_size(px(4))
            .x_labels((width / 70).clamp(2, 10) as usize)
            .label_style(font(11.0))
            .x_label_formatter(&x_tick)
            .y_label_formatter(&y_tick)
            .draw()?;
        for line in &self.lines {
            let points = line.points.iter().filter(|point| point.1.is_finite() && (point.1 > 0.0 || !self.log_y));
            let points: Vec<(f64, f64)> = points.copied().collect();
            let colour = line.colour.rgb();
            // One point makes no line.
            if line.stroke == Stroke::Dotted || points.len() == 1 {
                chart.draw_series(points.iter().map(|&point| Circle::new(point, px(3), colour.filled())))?;
            }
            let style = match line.stroke {
                Stroke::Faint => colour.mix(0.25).stroke_width(FINE),
                _ => colour.stroke_width(2 * FINE),
            };
            chart.draw_series(LineSeries::new(points, style))?;
        }
        Ok(())
    }
}

impl Colour {
    fn rgb(self) -> RGBColor {
        match self {
            Self::Ink => INK,
            Self::Nth(place) => {
                let all = [&COLOURS[..], &MORE_COLOURS].concat();
                all[place % all.len()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Line, Picture};

    #[test]
    fn every_panel_and_key_is_in_the_picture() {
        let line = |place, points| Line { colour: Colour::Nth(place), stroke: Stroke::Plain, points };
        let panel = |title: &str, lines| Panel { title: title.to_owned(), log_y: true, y: 0.1..1.0, lines };
        let panels = vec![
            panel("conv1 weights", vec![line(0, vec![(1.0, 0.5), (9.0, 0.25)]), line(1, vec![(1.0, 1.0)])]),
            panel("conv1 activations", vec![line(0, vec![(1.0, 0.0), (9.0, 0.1)])]),
            panel("conv2 weights", vec![]),
        ];
        let keys = vec![("4 bits".to_owned(), Colour::Nth(0)), ("2 bits".to_owned(), Colour::Nth(1))];
        let x = "steps".to_owned();
        let picture = Panels { title: "step sizes".into(), x, keys, columns: 2, size: (260, 150), panels };
        let (width, height) = (2 * 260 + 32, 2 * 150 + 100);
        assert_eq!(picture.size(), (width, height));
        let drawn = Picture::Panels(picture.clone());
        let svg = drawn.svg().unwrap();
        let shown = format!("width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\"", 4 * width, 4 * height);
        assert!(svg.contains(&shown), "{svg}");
        for words in ["step sizes", "steps", "4 bits", "2 bits", "conv1 weights", "conv1 activations", "conv2 weights"]
        {
            assert!(svg.contains(words), "{words} is not in {svg}");
        }
        // A PNG's header has width and height in its bytes 16 to 23.
        let png = drawn.png().unwrap();
        assert_eq!(png[16..24], [(2 * width).to_be_bytes(), (2 * height).to_be_bytes()].concat());
        let nothing = Panels { panels: vec![], ..picture };
        assert!(Picture::Panels(nothing).svg().unwrap_err().to_string().contains("nothing to draw"));
    }
}
