//! Lines of measurements on a pair of axes, as SVG.

use crate::measured::{Measured, Point};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::element::ErrorBar;
use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;
use std::path::Path;

const SIZE: (u32, u32) = (720, 400);
const FONT: &str = "sans-serif";

/// The same for the same name in all pictures.
fn colour(name: &str) -> RGBColor {
    match name {
        "original" => RGBColor(200, 60, 40),
        "ringgate" => RGBColor(20, 80, 160),
        "no pool" => RGBColor(110, 110, 110),
        "mutex log" => RGBColor(200, 60, 40),
        "throttle-net" => RGBColor(160, 120, 30),
        _ => RGBColor(90, 150, 220),
    }
}

/// What a picture shows.
pub struct Picture {
    pub file: &'static str,
    pub title: &'static str,
    /// Criterion's group.
    pub group: &'static str,
    /// Its benchmarks, one line each, in the order of the legend.
    pub lines: &'static [&'static str],
    pub x: Axis,
    pub y: Axis,
    /// Where a number of nanoseconds of this benchmark is drawn.
    pub value: fn(&Point, f64) -> (f64, f64),
}

/// One of the axes.
pub struct Axis {
    pub title: &'static str,
    pub logarithmic: bool,
}

/// A line of the picture: its name, and for each point its x, and y low, median and high.
type Line = (&'static str, Vec<(f64, [f64; 3])>);

impl Picture {
    pub fn draw(&self, measured: &Measured, path: &Path) -> Result<(), Box<dyn Error>> {
        let lines = self.lines(measured)?;
        let points = || lines.iter().flat_map(|(_, points)| points);
        let x = self.x.range(points().map(|point| point.0));
        let y = self.y.range(points().flat_map(|point| point.1));
        match (self.x.logarithmic, self.y.logarithmic) {
            (true, true) => self.plot(&lines, x.log_scale(), y.log_scale(), path),
            (true, false) => self.plot(&lines, x.log_scale(), y, path),
            (false, true) => self.plot(&lines, x, y.log_scale(), path),
            (false, false) => self.plot(&lines, x, y, path),
        }
    }

    fn lines(&self, measured: &Measured) -> Result<Vec<Line>, String> {
        let line = |name: &&'static str| {
            let points = measured.line(self.group, name)?;
            Ok((*name, points.into_iter().map(|point| self.place(point)).collect()))
        };
        self.lines.iter().map(line).collect()
    }

    fn place(&self, point: &Point) -> (f64, [f64; 3]) {
        let (x, median) = (self.value)(point, point.median);
        let (_, one) = (self.value)(point, point.low);
        let (_, other) = (self.value)(point, point.high);
        (x, [one.min(other), median, one.max(other)])
    }

    fn plot<X, Y>(&self, lines: &[Line], x: X, y: Y, path: &Path) -> Result<(), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
        Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, (FONT, 18))
            .margin(12)
            .margin_right(36)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .x_desc(self.x.title)
            .y_desc(self.y.title)
            .x_label_formatter(&f64::to_string)
            .y_label_formatter(&f64::to_string)
            .y_labels(6)
            .draw()?;
        for (name, points) in lines {
            let colour = colour(name);
            let medians = points.iter().map(|(x, [_, median, _])| (*x, *median));
            chart
                .draw_series(LineSeries::new(medians, colour.stroke_width(2)).point_size(4))?
                .label(*name)
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
            chart.draw_series(points.iter().map(|(x, [low, median, high])| {
                ErrorBar::new_vertical(*x, *low, *median, *high, colour.filled(), 8)
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font((FONT, 14))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

impl Axis {
    /// Holds all of the values with some room; a linear one begins at zero.
    fn range(&self, values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        if self.logarithmic { least / 1.5..most * 2.0 } else { 0.0..most * 1.25 }
    }
}
