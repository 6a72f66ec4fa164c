//! Stochastic gradient descent with momentum and weight decay, which candle's own SGD lacks.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use std::collections::HashMap;

pub(super) struct Sgd {
    variables: Vec<(String, Var, Tensor)>,
    momentum: f64,
    weight_decay: f64,
}

impl Sgd {
    pub(super) fn new(variables: Vec<(String, Var)>, momentum: f64, weight_decay: f64) -> Result<Self> {
        let with_velocity = |(name, var): (String, Var)| {
            let velocity = var.zeros_like()?;
            Ok((name, var, velocity))
        };
        let variables = variables.into_iter().map(with_velocity).collect::<Result<_>>()?;
        Ok(Self { variables, momentum, weight_decay })
    }

    /// v = momentum * v + gradient + decay * w; w = w - rate * v. Biases are not decayed.
    pub(super) fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        for (name, var, velocity) in &mut self.variables {
            let Some(gradient) = gradients.get(var) else { continue };
            let mut next = ((&*velocity * self.momentum)? + gradient)?;
            if name.ends_with("weight") {
                next = (next + (var.as_tensor() * self.weight_decay)?)?;
            }
            let next = next.detach();
            var.set(&(var.as_tensor() - (&next * rate)?)?.detach())?;
            *velocity = next;
        }
        Ok(())
    }

    /// Weights and velocities by name, for a checkpoint.
    pub(super) fn state(&self) -> HashMap<String, Tensor> {
        let both = self.variables.iter().flat_map(|(name, var, velocity)| {
            [(name.clone(), var.as_tensor().clone()), (format!("velocity.{name}"), velocity.clone())]
        });
        both.collect()
    }

    /// Takes a checkpoint's weights and velocities over.
    pub(super) fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        for (name, var, velocity) in &mut self.variables {
            let find = |key: &str| {
                state.get(key).ok_or_else(|| candle_core::Error::Msg(format!("the checkpoint lacks {key}")))
            };
            var.set(find(name)?)?;
            *velocity = find(&format!("velocity.{name}"))?.clone();
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
