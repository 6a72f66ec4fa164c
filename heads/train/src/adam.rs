//! Adam with decoupled weight decay (Kingma and Ba, 2015; Loshchilov and Hutter, 2019) and running means of the weights,
//! whose whole state can be written and read again, which candle's own lacks.

use candle_core::{CpuStorage, Error, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
use std::collections::HashMap;

/// How fast the means of gradients and of their squares follow.
const FOLLOWED: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// What is moved, on the processor, in f32.
pub(crate) struct Adam {
    variables: Vec<Moved>,
    /// Decoupled, of weights; biases are not decayed.
    weight_decay: f64,
    /// Share of the running mean of the weights that a step keeps, at most.
    kept: f64,
    steps: u32,
}

struct Moved {
    name: String,
    var: Var,
    /// Means of the gradient and of its square.
    moments: [Tensor; 2],
    /// Running mean of the weights.
    mean: Tensor,
}

impl Adam {
    pub(crate) fn new(variables: Vec<(String, Var)>, weight_decay: f64, kept: f64) -> Result<Self> {
        let moved = |(name, var): (String, Var)| {
            let (moments, mean) = ([var.zeros_like()?, var.zeros_like()?], var.as_tensor().copy()?);
            Ok(Moved { name, var, moments, mean })
        };
        let variables = variables.into_iter().map(moved).collect::<Result<_>>()?;
        Ok(Self { variables, weight_decay, kept, steps: 0 })
    }

    /// A step of every variable that has a gradient by its name.
    pub(crate) fn step(&mut self, gradients: &HashMap<String, Tensor>, rate: f64) -> Result<()> {
        self.steps += 1;
        let [first, second] = FOLLOWED.map(|followed| 1.0 - followed.powi(self.steps as i32));
        // Early on the mean follows faster, or it would stay where training began.
        let kept = self.kept.min(f64::from(self.steps) / (10.0 + f64::from(self.steps)));
        for Moved { name, var, moments: [mean, square], mean: weights } in &mut self.variables {
            let Some(gradient) = gradients.get(name) else { continue };
            let gradient = gradient.contiguous()?;
            mean.inplace_op2(&gradient, &Follow { kept: FOLLOWED[0], squared: false })?;
            square.inplace_op2(&gradient, &Follow { kept: FOLLOWED[1], squared: true })?;
            let decay = if name.ends_with("weight") { self.weight_decay } else { 0.0 };
            let descend = Descend { rate, decay, first, second };
            var.as_tensor().inplace_op3(mean, square, &descend)?;
            weights.inplace_op2(var.as_tensor(), &Follow { kept, squared: false })?;
        }
        Ok(())
    }

    /// Copies of the running means of the weights, by name.
    pub(crate) fn means(&self) -> Result<HashMap<String, Tensor>> {
        self.variables.iter().map(|moved| Ok((moved.name.clone(), moved.mean.copy()?))).collect()
    }

    /// Everything by name, for a checkpoint to be written at once: it changes with the next step.
    pub(crate) fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for Moved { name, var, moments: [first, second], mean } in &self.variables {
            for (part, tensor) in
                [("", var.as_tensor()), (".first", first), (".second", second), (".mean", mean)]
            {
                state.insert(format!("{name}{part}"), tensor.clone());
            }
        }
        state.insert("steps".into(), Tensor::new(self.steps, &candle_core::Device::Cpu)?);
        Ok(state)
    }

    /// Takes a checkpoint over.
    pub(crate) fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let find =
            |key: &str| state.get(key).ok_or_else(|| Error::Msg(format!("the checkpoint lacks {key}")));
        for Moved { name, var, moments: [first, second], mean } in &mut self.variables {
            var.set(find(name)?)?;
            for (part, tensor) in [(".first", first), (".second", second), (".mean", mean)] {
                *tensor = find(&format!("{name}{part}"))?.copy()?;
            }
        }
        self.steps = find("steps")?.to_scalar()?;
        Ok(())
    }
}

/// a = kept * a + (1 - kept) * b, or of the square of b.
struct Follow {
    kept: f64,
    squared: bool,
}

impl InplaceOp2 for Follow {
    fn name(&self) -> &'static str {
        "follow"
    }

    fn cpu_fwd(&self, a: &mut CpuStorage, _: &Layout, b: &CpuStorage, b_layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(a), CpuStorage::F32(b)) = (a, b) else { bail!("f32 is followed") };
        let (kept, new) = (self.kept as f32, (1.0 - self.kept) as f32);
        for (a, b) in a.iter_mut().zip(&b[b_layout.start_offset()..]) {
            *a = kept * *a + new * if self.squared { b * b } else { *b };
        }
        Ok(())
    }
}

/// w = w - rate * (m / first / (root of (v / second) + epsilon) + decay * w).
struct Descend {
    rate: f64,
    decay: f64,
    first: f64,
    second: f64,
}

impl InplaceOp3 for Descend {
    fn name(&self) -> &'static str {
        "descend"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        _: &Layout,
        mean: &CpuStorage,
        _: &Layout,
        square: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(w), CpuStorage::F32(m), CpuStorage::F32(v)) = (weight, mean, square) else {
            bail!("f32 is moved")
        };
        let [rate, decay, first, second] =
            [self.rate, self.decay, 1.0 / self.first, 1.0 / self.second].map(|v| v as f32);
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            *w -= rate * (m * first / ((v * second).sqrt() + EPSILON as f32) + decay * *w);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Two steps on w^2 / 2 by hand: gradients 2 and 1.9, rate 0.1; each step is as long as the rate, nearly.
    #[test]
    fn steps_follow_the_formula_and_a_restored_state_goes_on_alike() -> Result<()> {
        let device = Device::Cpu;
        let step = |adam: &mut Adam, var: &Var| -> Result<f32> {
            adam.step(&HashMap::from([("w.weight".to_owned(), var.as_tensor().copy()?)]), 0.1)?;
            Ok(var.to_vec1::<f32>()?[0])
        };
        let var = Var::new(&[2.0f32], &device)?;
        let mut adam = Adam::new(vec![("w.weight".into(), var.clone())], 0.0, 0.5)?;
        assert!((step(&mut adam, &var)? - 1.9).abs() < 1e-5);
        let (first, second) = (0.9 * 0.2 + 0.1 * 1.9, 0.999 * 0.004 + 0.001 * 1.9 * 1.9);
        let wanted = 1.9 - 0.1 * (first / 0.19) / f64::sqrt(second / 0.001_999);
        assert!((f64::from(step(&mut adam, &var)?) - wanted).abs() < 1e-5);

        let other = Var::new(&[0.0f32], &device)?;
        let mut restored = Adam::new(vec![("w.weight".into(), other.clone())], 0.0, 0.5)?;
        let state: HashMap<String, Tensor> =
            adam.state()?.into_iter().map(|(name, t)| Ok((name, t.copy()?))).collect::<Result<_>>()?;
        restored.restore(&state)?;
        assert_eq!(step(&mut adam, &var)?, step(&mut restored, &other)?);
        let mean = |adam: &Adam| adam.means()?["w.weight"].to_vec1::<f32>();
        assert_eq!(mean(&adam)?, mean(&restored)?);
        Ok(())
    }
}
