//! Stochastic gradient descent with momentum and weight decay, which candle's own SGD lacks.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, WithDType, bail};
use std::collections::HashMap;

pub(crate) struct Sgd {
    variables: Vec<(String, Var, Tensor)>,
    momentum: f64,
    weight_decay: f64,
}

impl Sgd {
    pub(crate) fn new(variables: Vec<(String, Var)>, momentum: f64, weight_decay: f64) -> Result<Self> {
        let with_velocity = |(name, var): (String, Var)| {
            let velocity = var.zeros_like()?;
            Ok((name, var, velocity))
        };
        let variables = variables.into_iter().map(with_velocity).collect::<Result<_>>()?;
        Ok(Self { variables, momentum, weight_decay })
    }

    /// v = momentum * v + gradient + decay * w; w = w - rate * v. Biases are not decayed.
    pub(crate) fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        for (name, var, velocity) in &mut self.variables {
            let Some(gradient) = gradients.get(var) else { continue };
            let decay = if name.ends_with("weight") { self.weight_decay } else { 0.0 };
            if var.device().is_cpu() {
                velocity.inplace_op3(
                    &gradient.contiguous()?,
                    var.as_tensor(),
                    &Accelerate { momentum: self.momentum, decay },
                )?;
                var.as_tensor().inplace_op2(velocity, &Move { rate })?;
            } else {
                let next = ((&*velocity * self.momentum)? + gradient)?;
                let next = (next + (var.as_tensor() * decay)?)?.detach();
                var.set(&(var.as_tensor() - (&next * rate)?)?.detach())?;
                *velocity = next;
            }
        }
        Ok(())
    }

    /// Weights and velocities by name, for a checkpoint to be written at once: they change with the next step.
    pub(crate) fn state(&self) -> HashMap<String, Tensor> {
        let both = self.variables.iter().flat_map(|(name, var, velocity)| {
            [(name.clone(), var.as_tensor().clone()), (format!("velocity.{name}"), velocity.clone())]
        });
        both.collect()
    }

    /// The weights alone, as copies: a variable is set in place, under whoever shares its tensor.
    pub(crate) fn weights(&self) -> Result<HashMap<String, Tensor>> {
        self.variables.iter().map(|(name, var, _)| Ok((name.clone(), var.as_tensor().copy()?))).collect()
    }

    /// Sets the weights alone.
    pub(crate) fn set(&self, weights: &HashMap<String, Tensor>) -> Result<()> {
        for (name, var, _) in &self.variables {
            if let Some(weight) = weights.get(name) {
                var.set(weight)?;
            }
        }
        Ok(())
    }

    /// Takes a checkpoint's weights and velocities over.
    pub(crate) fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        for (name, var, velocity) in &mut self.variables {
            let find = |key: &str| {
                state.get(key).ok_or_else(|| candle_core::Error::Msg(format!("the checkpoint lacks {key}")))
            };
            var.set(find(name)?)?;
            *velocity = find(&format!("velocity.{name}"))?.copy()?;
        }
        Ok(())
    }
}

/// v = momentum * v + g + decay * w, in place: new tensors for each step would cost more than the arithmetic.
struct Accelerate {
    momentum: f64,
    decay: f64,
}

impl InplaceOp3 for Accelerate {
    fn name(&self) -> &'static str {
        "sgd_velocity"
    }

    fn cpu_fwd(
        &self,
        velocity: &mut CpuStorage,
        _: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
        weight: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        fn run<T: WithDType>(op: &Accelerate, v: &mut [T], g: &[T], w: &[T]) {
            let (momentum, decay) = (T::from_f64(op.momentum), T::from_f64(op.decay));
            for ((v, g), w) in v.iter_mut().zip(g).zip(w) {
                *v = momentum * *v + *g + decay * *w;
            }
        }
        let from = gradient_layout.start_offset();
        match (velocity, gradient, weight) {
            (CpuStorage::F32(v), CpuStorage::F32(g), CpuStorage::F32(w)) => run(self, v, &g[from..], w),
            (CpuStorage::F64(v), CpuStorage::F64(g), CpuStorage::F64(w)) => run(self, v, &g[from..], w),
            _ => bail!("weights, velocities and gradients must be all f32 or all f64"),
        }
        Ok(())
    }
}

/// w = w - rate * v, in place.
struct Move {
    rate: f64,
}

impl InplaceOp2 for Move {
    fn name(&self) -> &'static str {
        "sgd_move"
    }

    fn cpu_fwd(&self, weight: &mut CpuStorage, _: &Layout, velocity: &CpuStorage, _: &Layout) -> Result<()> {
        fn run<T: WithDType>(rate: f64, w: &mut [T], v: &[T]) {
            let rate = T::from_f64(rate);
            for (w, v) in w.iter_mut().zip(v) {
                *w -= rate * *v;
            }
        }
        match (weight, velocity) {
            (CpuStorage::F32(w), CpuStorage::F32(v)) => run(self.rate, w, v),
            (CpuStorage::F64(w), CpuStorage::F64(v)) => run(self.rate, w, v),
            _ => bail!("weights and velocities must be both f32 or both f64"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Two steps on w^2 / 2 by hand: gradient w, momentum 0.5, rate 0.1.
    #[test]
    fn steps_follow_the_formula() -> Result<()> {
        let var = Var::new(&[2.0f64], &Device::Cpu)?;
        let mut sgd = Sgd::new(vec![("w.bias".into(), var.clone())], 0.5, 0.1)?;
        for wanted in [1.8, 1.52] {
            let loss = (var.as_tensor().sqr()? / 2.0)?.sum_all()?;
            sgd.step(&loss.backward()?, 0.1)?;
            assert!((var.to_vec1::<f64>()?[0] - wanted).abs() < 1e-12);
        }
        let mut other = Sgd::new(vec![("w.bias".into(), Var::new(&[0.0f64], &Device::Cpu)?)], 0.5, 0.1)?;
        other.restore(&sgd.state())?;
        assert_eq!(other.variables[0].2.to_vec1::<f64>()?, sgd.variables[0].2.to_vec1::<f64>()?);
        Ok(())
    }
}
