//! The layers of a head, differentiable.

use candle_core::{D, Result, Tensor};
use candle_nn::{Linear, Module, VarBuilder, linear};
use lapel_heads::Manifest;

/// Sizes of a head's layers.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Length of a pooled region: 9216 for AlexNet.
    pub inputs: usize,
    /// Outputs of fc6.
    pub hidden: usize,
    /// Outputs of fc7: the signature's dimension.
    pub dim: usize,
    /// What the unit signature is multiplied by before the classifiers.
    pub scale: f64,
    /// Attributes with their numbers of labels.
    pub attributes: Vec<(String, usize)>,
}

impl NetworkConfig {
    /// The sizes that a manifest states, for a backbone whose pooled regions have `inputs` numbers.
    #[must_use]
    pub fn of(manifest: &Manifest, inputs: usize) -> Self {
        let attributes = manifest.attributes.iter().map(|a| (a.name.clone(), a.labels.len())).collect();
        let Manifest { hidden, dim, scale, .. } = *manifest;
        Self { inputs, hidden, dim, scale: f64::from(scale), attributes }
    }
}

/// fc6, ReLU, fc7, and a classifier an attribute on the scaled unit signature.
#[derive(Clone, Debug)]
pub struct Network {
    fc6: Linear,
    fc7: Linear,
    classifiers: Vec<(String, Linear)>,
    scale: f64,
}

impl Network {
    /// Names its weights `fc6`, `fc7` and `classifier.<attribute>`.
    ///
    /// # Errors
    /// When the builder lacks a tensor or has it in another shape.
    pub fn new(cfg: &NetworkConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let classifier = |(name, labels): &(String, usize)| {
            Ok((name.clone(), linear(cfg.dim, *labels, vb.pp("classifier").pp(name))?))
        };
        Ok(Self {
            fc6: linear(cfg.inputs, cfg.hidden, vb.pp("fc6"))?,
            fc7: linear(cfg.hidden, cfg.dim, vb.pp("fc7"))?,
            classifiers: cfg.attributes.iter().map(classifier).collect::<Result<_>>()?,
            scale: cfg.scale,
        })
    }

    /// fc6 with ReLU: `[batch, inputs]` to `[batch, hidden]`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn fc6(&self, pooled: &Tensor) -> Result<Tensor> {
        // As W x^T: the weights are by far the larger factor, and their gradient comes out in their own layout.
        let product = self.fc6.weight().matmul(&pooled.t()?)?;
        let hidden = match self.fc6.bias() {
            Some(bias) => product.broadcast_add(&bias.unsqueeze(1)?)?,
            None => product,
        };
        hidden.relu()?.t()?.contiguous()
    }

    /// fc7 of a hidden layer, not normalised: `[batch, hidden]` to `[batch, dim]`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn fc7_of_hidden(&self, hidden: &Tensor) -> Result<Tensor> {
        self.fc7.forward(hidden)
    }

    /// fc7 of pooled regions, not normalised: `[batch, inputs]` to `[batch, dim]`.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn fc7(&self, pooled: &Tensor) -> Result<Tensor> {
        self.fc7_of_hidden(&self.fc6(pooled)?)
    }

    /// Rows scaled to unit length, differentiably: the epsilon keeps the gradient finite at zero.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn normalise(fc7: &Tensor) -> Result<Tensor> {
        fc7.broadcast_div(&(fc7.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?)
    }

    /// Logits by attribute of unit signatures: `[batch, dim]` to `[batch, labels]` each.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn logits(&self, signatures: &Tensor) -> Result<Vec<(&str, Tensor)>> {
        let scaled = (signatures * self.scale)?;
        self.classifiers.iter().map(|(name, layer)| Ok((name.as_str(), layer.forward(&scaled)?))).collect()
    }
}
