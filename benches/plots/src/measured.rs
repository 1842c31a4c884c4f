//! What criterion and the comparisons have measured, read from the files that they leave behind.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use walkdir::WalkDir;

/// All that was found.
#[derive(Debug)]
pub struct Measured(Vec<Point>);

/// One benchmark of its group, measured with one parameter.
#[derive(Debug, Clone)]
pub struct Point {
    group: String,
    line: String,
    pub parameter: f64,
    /// How many things one iteration does; one unless the bench says otherwise.
    pub elements: f64,
    pub median: f64,
    /// The 95 % confidence interval of the median, or the quartiles.
    pub low: f64,
    pub high: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

/// A line of the table.
#[derive(Deserialize)]
struct Row {
    group: String,
    line: String,
    threads: f64,
    low: f64,
    median: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<f64>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Measured {
    /// Reads the last results under criterion's directory.
    pub fn read(criterion: &Path) -> Result<Self, Box<dyn Error>> {
        let mut points = Vec::new();
        for entry in WalkDir::new(criterion) {
            let entry = entry?;
            // `base` holds what `new` is compared with.
            if entry.file_name() == "benchmark.json"
                && let Some(directory) = entry.path().parent()
                && directory.ends_with("new")
            {
                points.extend(Point::read(directory)?);
            }
        }
        points.sort_by(|one, other| one.parameter.total_cmp(&other.parameter));
        Ok(Self(points))
    }

    /// Adds what a comparison has printed.
    pub fn read_table(&mut self, table: &Path) -> Result<(), Box<dyn Error>> {
        for row in csv::Reader::from_path(table)?.into_deserialize() {
            let Row { group, line, threads, low, median, high } = row?;
            self.0.push(Point {
                group,
                line,
                parameter: threads,
                elements: 1.0,
                median,
                low,
                high,
            });
        }
        Ok(())
    }

    /// A line of a group, in the order of its parameter.
    pub fn line(&self, group: &str, line: &str) -> Result<Vec<&Point>, String> {
        let belongs = |point: &&Point| point.group == group && point.line == line;
        let points: Vec<_> = self.0.iter().filter(belongs).collect();
        if points.is_empty() { Err(format!("not measured: {group}/{line}")) } else { Ok(points) }
    }
}

impl Point {
    /// `None` for a benchmark without a number for a parameter.
    fn read(directory: &Path) -> Result<Option<Self>, Box<dyn Error>> {
        let benchmark: Benchmark = json(&directory.join("benchmark.json"))?;
        let parameter = benchmark.value_str.and_then(|text| text.parse().ok());
        let (Some(line), Some(parameter)) = (benchmark.function_id, parameter) else {
            return Ok(None);
        };
        let Estimates { median } = json(&directory.join("estimates.json"))?;
        let elements = benchmark.throughput.and_then(|throughput| throughput.elements);
        Ok(Some(Self {
            group: benchmark.group_id,
            line,
            parameter,
            elements: elements.unwrap_or(1.0),
            median: median.point_estimate,
            low: median.confidence_interval.lower_bound,
            high: median.confidence_interval.upper_bound,
        }))
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Box<dyn Error>> {
    Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
}
