//! Multinomial logistic regression, a convex fit by L-BFGS: the same data give the same weights.

use crate::error::TeachError;
use candle_core::{Device, Tensor};
use std::collections::VecDeque;

/// Weight decays that are tried, of inputs of unit variance divided by the root of their number.
pub const DECAYS: [f64; 4] = [3e-6, 1e-5, 3e-5, 1e-4];

/// Pairs of steps and changes of the gradient that are remembered.
const HISTORY: usize = 10;
/// Steps at most; the fit ends earlier when the gradient has fallen to [`TOLERANCE`] of its first length.
const STEPS_MAX: usize = 80;
const TOLERANCE: f64 = 2e-3;
/// Halvings of a step that does not descend.
const HALVINGS_MAX: usize = 12;
/// Multiplications of a product of matrices that nothing interrupts, some tens of milliseconds.
const BLOCK: usize = 1 << 28;

/// What is learnt from: rows of numbers, with a label and a weight each.
pub struct Rows<'a> {
    /// `[rows, inputs]`.
    pub inputs: &'a Tensor,
    /// The label's number of each row.
    pub labels: &'a [u16],
    /// How much each row counts.
    pub weights: &'a [f32],
}

/// A linear layer.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[labels, inputs]`.
    pub weight: Tensor,
    /// `[labels]`.
    pub bias: Tensor,
}

impl Linear {
    /// Logits of rows, `[rows, labels]`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn logits(&self, inputs: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
        inputs.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?.to_vec2()
    }
}

/// Minimises the mean cross entropy of the rows, with `decay / 2` times the squared weights (not the biases). Rows that
/// all weigh nothing teach nothing: the layer is nought then.
///
/// # Errors
/// [`TeachError::Abandoned`], and [`TeachError::Tensor`] also where a label is none of `labels`, or not every row has one.
pub fn fit(
    rows: &Rows<'_>,
    labels: usize,
    decay: f64,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<Linear, TeachError> {
    let problem = Problem::new(rows, labels, decay, is_abandoned)?;
    let (_, inputs, _) = problem.shape;
    let mut at = vec![0.0f32; labels * (inputs + 1)];
    if problem.total > 0.0 {
        descend(&problem, &mut at)?;
    }
    let (weight, bias) = at.split_at(labels * inputs);
    Ok(Linear {
        weight: Tensor::from_slice(weight, (labels, inputs), &Device::Cpu)?,
        bias: Tensor::from_slice(bias, labels, &Device::Cpu)?,
    })
}

/// Rows of a tensor `[rows, inputs]`, in the order that is asked for.
///
/// # Errors
/// When the tensor library fails.
pub fn select_rows(inputs: &Tensor, rows: &[usize]) -> candle_core::Result<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
    inputs.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
}

/// Parts of `count` things that cost so many multiplications each: where one begins and how many it has. Between two of
/// them whoever waits may say that they do not any more.
pub(crate) fn blocks(count: usize, cost: usize) -> impl Iterator<Item = (usize, usize)> {
    let len = (BLOCK / cost.max(1)).max(1);
    (0..count).step_by(len).map(move |from| (from, len.min(count - from)))
}

/// L-BFGS from `at` on.
fn descend(problem: &Problem<'_>, at: &mut Vec<f32>) -> Result<(), TeachError> {
    let (mut loss, mut gradient) = problem.evaluate(at)?;
    let target = TOLERANCE * norm(&gradient);
    let mut history: VecDeque<(Vec<f32>, Vec<f32>)> = VecDeque::new();
    for step in 0..STEPS_MAX {
        if norm(&gradient) <= target {
            break;
        }
        let direction = direction(&gradient, &history);
        let slope = dot(&gradient, &direction);
        // The first step has no curvature to go by.
        let mut length = if step == 0 { 1.0 / norm(&gradient).max(1e-12) } else { 1.0 };
        let mut next = None;
        for _ in 0..HALVINGS_MAX {
            let moved: Vec<f32> =
                at.iter().zip(&direction).map(|(a, d)| a + (length * f64::from(*d)) as f32).collect();
            let (lower, there) = problem.evaluate(&moved)?;
            if lower <= loss + 1e-4 * length * slope {
                next = Some((moved, lower, there));
                break;
            }
            length *= 0.5;
        }
        let Some((moved, lower, there)) = next else { break };
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let (step, change) = (difference(&moved, at.as_slice()), difference(&there, &gradient));
        if dot(&step, &change) > 1e-12 {
            history.push_back((step, change));
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
        (*at, loss, gradient) = (moved, lower, there);
    }
    Ok(())
}

struct Problem<'a> {
    rows: &'a Rows<'a>,
    /// Rows, inputs and labels.
    shape: (usize, usize, usize),
    decay: f64,
    total: f32,
    is_abandoned: &'a dyn Fn() -> bool,
}

impl<'a> Problem<'a> {
    fn new(
        rows: &'a Rows<'a>,
        labels: usize,
        decay: f64,
        is_abandoned: &'a dyn Fn() -> bool,
    ) -> Result<Self, TeachError> {
        let (count, inputs) = rows.inputs.dims2()?;
        let is_known = rows.labels.iter().all(|label| usize::from(*label) < labels);
        if !is_known || rows.labels.len() != count || rows.weights.len() != count {
            let fault = format!("{count} rows need a weight and one of {labels} labels each");
            return Err(candle_core::Error::Msg(fault).into());
        }
        let total = rows.weights.iter().sum();
        Ok(Self { rows, shape: (count, inputs, labels), decay, total, is_abandoned })
    }

    /// Loss and gradient at weights `[labels, inputs]` followed by biases.
    fn evaluate(&self, at: &[f32]) -> Result<(f64, Vec<f32>), TeachError> {
        let (count, inputs, labels) = self.shape;
        let (weight, bias) = at.split_at(labels * inputs);
        let weights = Tensor::from_slice(weight, (labels, inputs), &Device::Cpu)?.t()?;
        let mut loss = 0.0;
        let mut gradient = vec![0.0f32; weight.len()];
        let mut bias_gradient = vec![0.0f32; labels];
        for (from, len) in blocks(count, inputs * labels) {
            if (self.is_abandoned)() {
                return Err(TeachError::Abandoned);
            }
            let rows = self.rows.inputs.narrow(0, from, len)?;
            let mut errors = rows.matmul(&weights)?.flatten_all()?.to_vec1::<f32>()?;
            loss += self.errors(&mut errors, from, bias);
            for row in errors.chunks_exact(labels) {
                bias_gradient.iter_mut().zip(row).for_each(|(sum, error)| *sum += error);
            }
            let errors = Tensor::from_vec(errors, (len, labels), &Device::Cpu)?;
            let part = rows.t()?.matmul(&errors)?.t()?.flatten_all()?.to_vec1::<f32>()?;
            gradient.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let decay = self.decay as f32;
        gradient.iter_mut().zip(weight).for_each(|(gradient, weight)| *gradient += decay * weight);
        loss += 0.5 * self.decay * dot(weight, weight);
        gradient.extend(bias_gradient);
        Ok((loss, gradient))
    }

    /// Turns logits without their biases, of the rows from `from` on, into what the loss changes by with each; gives the
    /// rows' part of the loss.
    fn errors(&self, logits: &mut [f32], from: usize, bias: &[f32]) -> f64 {
        let mut loss = 0.0f64;
        let own = self.rows.labels.iter().zip(self.rows.weights).skip(from);
        for (row, (label, share)) in logits.chunks_exact_mut(bias.len()).zip(own) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let own = row[usize::from(*label)];
            let mut sum = 0.0;
            for value in row.iter_mut() {
                *value = (*value - most).exp();
                sum += *value;
            }
            let share = share / self.total;
            loss += f64::from(share) * f64::from(sum.ln() + most - own);
            for (at, value) in row.iter_mut().enumerate() {
                *value = share * (*value / sum - f32::from(u8::from(at == usize::from(*label))));
            }
        }
        loss
    }
}

/// The quasi-Newton direction: two loops over the history (Nocedal and Wright, algorithm 7.4).
fn direction(gradient: &[f32], history: &VecDeque<(Vec<f32>, Vec<f32>)>) -> Vec<f32> {
    let mut towards: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(history.len());
    for (step, change) in history.iter().rev() {
        let share = dot(step, &towards) / dot(step, change);
        add(&mut towards, change, -share);
        shares.push(share);
    }
    if let Some((step, change)) = history.back() {
        let scale = (dot(step, change) / dot(change, change)) as f32;
        towards.iter_mut().for_each(|value| *value *= scale);
    }
    for ((step, change), share) in history.iter().zip(shares.into_iter().rev()) {
        let other = dot(change, &towards) / dot(step, change);
        add(&mut towards, step, share - other);
    }
    towards
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

fn add(to: &mut [f32], what: &[f32], times: f64) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += (times * f64::from(*what)) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(rows: &[[f32; 2]]) -> Tensor {
        Tensor::from_vec(rows.concat(), (rows.len(), 2), &Device::Cpu).expect("tensor")
    }

    #[test]
    fn the_gradient_is_that_of_central_differences() {
        let inputs = tensor(&[[0.3, -1.0], [1.2, 0.4], [-0.7, 0.9], [0.1, 0.2]]);
        let rows = Rows { inputs: &inputs, labels: &[0, 1, 2, 1], weights: &[1.0, 0.5, 2.0, 1.0] };
        let problem = Problem::new(&rows, 3, 0.1, &|| false).expect("problem");
        let at: Vec<f32> = (0..9).map(|i| (i as f32 * 0.37).sin()).collect();
        let (_, gradient) = problem.evaluate(&at).expect("evaluated");
        for (i, analytic) in gradient.iter().enumerate() {
            let beside = |by: f32| {
                let mut moved = at.clone();
                moved[i] += by;
                problem.evaluate(&moved).expect("evaluated").0
            };
            let numeric = (beside(0.01) - beside(-0.01)) / 0.02;
            assert!((numeric - f64::from(*analytic)).abs() < 1e-4, "{i}: {numeric} {analytic}");
        }
    }

    #[test]
    fn what_can_be_told_apart_is() {
        let rows: Vec<[f32; 2]> = (0..60)
            .map(|i| [(i % 3) as f32 + 0.1 * (i as f32).sin(), ((i % 3) as f32 - 1.0).powi(2)])
            .collect();
        let labels: Vec<u16> = (0..60).map(|i| i % 3).collect();
        let inputs = tensor(&rows);
        let weights = vec![1.0; 60];
        let linear = fit(&Rows { inputs: &inputs, labels: &labels, weights: &weights }, 3, 1e-4, &|| false)
            .expect("fitted");
        for (logits, label) in linear.logits(&inputs).expect("logits").iter().zip(&labels) {
            let told = (0..3).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("three");
            assert_eq!(told, usize::from(*label));
        }
    }

    #[test]
    fn decay_alone_leaves_nothing_but_the_shares_of_labels() {
        let inputs = tensor(&[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]]);
        let rows = Rows { inputs: &inputs, labels: &[0, 0, 0, 1], weights: &[1.0; 4] };
        let linear = fit(&rows, 2, 1e3, &|| false).expect("fitted");
        let bias = linear.bias.to_vec1::<f32>().expect("bias");
        assert!((bias[0] - bias[1] - 3f32.ln()).abs() < 0.05, "{bias:?}");
    }

    #[test]
    fn what_is_abandoned_or_does_not_fit_together_ends_with_an_error() {
        let inputs = tensor(&[[1.0, 0.0], [0.0, 1.0]]);
        let rows = Rows { inputs: &inputs, labels: &[0, 1], weights: &[1.0; 2] };
        assert!(matches!(fit(&rows, 2, 0.1, &|| true), Err(TeachError::Abandoned)));
        assert!(matches!(fit(&rows, 1, 0.1, &|| false), Err(TeachError::Tensor(_))), "a label that is none");
        let rows = Rows { inputs: &inputs, labels: &[0], weights: &[1.0; 2] };
        assert!(matches!(fit(&rows, 2, 0.1, &|| false), Err(TeachError::Tensor(_))), "a row without a label");
    }

    #[test]
    fn rows_that_weigh_nothing_teach_nothing() {
        let inputs = tensor(&[[1.0, 0.0], [0.0, 1.0]]);
        let rows = Rows { inputs: &inputs, labels: &[0, 1], weights: &[0.0; 2] };
        let linear = fit(&rows, 2, 0.1, &|| false).expect("fitted");
        assert_eq!(linear.logits(&inputs).expect("logits").concat(), [0.0; 4]);
    }

    #[test]
    fn blocks_are_everything_once() {
        for (count, cost) in [(0, 5), (1, 0), (7, BLOCK), (7, BLOCK / 3), (7, BLOCK * 2), (7, 1)] {
            let mut next = 0;
            for (from, len) in blocks(count, cost) {
                assert!(from == next && len > 0, "{count} {cost}");
                next += len;
            }
            assert_eq!(next, count, "{count} {cost}");
        }
    }
}
