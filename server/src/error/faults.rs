//! Every fault of a request at once.

use super::{Choices, Error, Violation, header_bytes};
use std::fmt;

/// Faults that are looked for in one request. Those behind them come up when these are mended.
const FAULTS_MAX: usize = 50;
/// Faults of one request that tell which names there are.
const CHOICES_MAX: usize = 3;
/// What the text of all faults may take as a header of the answer, about; those behind are only counted.
const TEXT_BYTES: usize = 1500;

/// One fault of a request's field.
#[derive(Debug)]
pub enum Fault {
    /// The field cannot be accepted, whatever the catalogue holds.
    Malformed(Violation),
    /// The field is sound; what it asks for is not there, or cannot be had now.
    Unmet {
        /// Path of the field.
        field: String,
        /// [`Error::NotFound`], [`Error::UnknownLabel`] or [`Error::Precondition`].
        error: Error,
    },
}

impl Fault {
    /// Path of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Malformed(violation) => &violation.field,
            Self::Unmet { field, .. } => field,
        }
    }

    /// What is wrong and what would be right.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            Self::Malformed(violation) => violation.description.clone(),
            Self::Unmet { error, .. } => error.to_string(),
        }
    }

    /// Graver faults come first: they decide the answer's code.
    fn rank(&self) -> u8 {
        match self {
            Self::Malformed(_) => 0,
            Self::Unmet { error: Error::NotFound { .. } | Error::UnknownLabel { .. }, .. } => 1,
            Self::Unmet { .. } => 2,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(Violation { field, description }) => write!(f, "{field}: {description}"),
            // Its text names what was asked for.
            Self::Unmet { error, .. } => write!(f, "{error}"),
        }
    }
}

/// Gathers the faults of a request while it is converted, so that its caller hears of all of them at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes that a field cannot be accepted.
    pub fn refuse(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.note(Fault::Malformed(Violation::new(field, description)));
    }

    /// Notes what a field that is sound cannot have: [`Error::NotFound`], [`Error::UnknownLabel`] or
    /// [`Error::Precondition`].
    pub fn unmet(&mut self, field: impl Into<String>, error: Error) {
        self.note(Fault::Unmet { field: field.into(), error });
    }

    /// The outcome of a check of `field`, or `None` when it is a fault of the request, which is noted. Faults that bring
    /// their own paths keep them.
    ///
    /// # Errors
    /// Whatever is no fault of the request: a failing store, a busy model.
    pub fn gather<T>(&mut self, field: &str, outcome: Result<T, Error>) -> Result<Option<T>, Error> {
        match outcome {
            Ok(value) => return Ok(Some(value)),
            Err(Error::Invalid(violations)) => {
                violations.into_iter().for_each(|violation| self.note(Fault::Malformed(violation)));
            }
            Err(Error::Faults(faults)) => faults.0.into_iter().for_each(|fault| self.note(fault)),
            Err(
                error @ (Error::NotFound { .. } | Error::UnknownLabel { .. } | Error::Precondition { .. }),
            ) => self.unmet(field, error),
            Err(other) => return Err(other),
        }
        Ok(None)
    }

    /// The names there are, for a fault about `name`, which is none of them. The first such faults of a request tell them:
    /// an answer has room for no more, and it takes time where there are many.
    #[must_use]
    pub fn choices<'a, N: IntoIterator<Item = &'a str>>(
        &self,
        name: &str,
        names: impl FnOnce() -> N,
    ) -> Choices {
        let tells = |fault: &&Fault| match fault {
            Fault::Unmet {
                error: Error::NotFound { valid, .. } | Error::UnknownLabel { valid, .. }, ..
            } => !valid.is_empty(),
            Fault::Malformed(_) | Fault::Unmet { .. } => false,
        };
        let told = self.0.iter().filter(tells).count();
        if told < CHOICES_MAX { Choices::of(name, names()) } else { Choices::default() }
    }

    /// Whether there are as many as are looked for: further checks would tell nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }

    /// Ends the conversion.
    ///
    /// # Errors
    /// The faults, where there are any: [`Error::Invalid`] where all of them are malformed fields, else
    /// [`Error::Faults`].
    pub fn end(self) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        if self.0.iter().any(|fault| matches!(fault, Fault::Unmet { .. })) {
            return Err(Error::Faults(self));
        }
        let violation = |fault| match fault {
            Fault::Malformed(violation) => Some(violation),
            Fault::Unmet { .. } => None,
        };
        Err(Error::Invalid(self.0.into_iter().filter_map(violation).collect()))
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn all(&self) -> &[Fault] {
        &self.0
    }

    /// The first of the gravest: a malformed field, or else what is not there, or else what cannot be had now.
    #[must_use]
    pub fn gravest(&self) -> Option<&Fault> {
        self.0.iter().min_by_key(|fault| fault.rank())
    }

    fn note(&mut self, fault: Fault) {
        if !self.is_full() {
            self.0.push(fault);
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut taken = 0;
        for (at, fault) in self.0.iter().enumerate() {
            // A text may hold a long list of names, so it is not made for nothing.
            if taken > TEXT_BYTES {
                return write!(f, "; and {} more", self.0.len() - at);
            }
            // One alone names what was asked for; among several it is told which field it is about.
            let text = match fault {
                Fault::Unmet { field, error } if self.0.len() > 1 => format!("{field}: {error}"),
                fault => fault.to_string(),
            };
            write!(f, "{}{text}", if at == 0 { "" } else { "; " })?;
            taken += header_bytes(&text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(label: &str) -> Error {
        Error::UnknownLabel {
            attribute: "color".into(),
            label: label.into(),
            valid: Choices::of(label, ["red"]),
        }
    }

    fn impossible() -> Error {
        Error::Precondition { reason: "LABEL_WITHOUT_PROTOTYPE", message: "no prototype".into() }
    }

    #[test]
    fn what_is_no_fault_of_the_request_ends_it_at_once() {
        let mut faults = Faults::default();
        assert_eq!(faults.gather("k", Ok(3)).expect("sound"), Some(3));
        assert_eq!(faults.gather("k", Err::<u8, _>(Error::not_found("item", "x"))).expect("noted"), None);
        let failed = faults.gather("k", Err::<u8, _>(Error::Exhausted("full".into())));
        assert!(matches!(failed, Err(Error::Exhausted(_))));
        assert_eq!(faults.all().len(), 1);
    }

    #[test]
    fn no_faults_are_none_and_malformed_fields_are_invalid() {
        assert!(Faults::default().end().is_ok());
        let mut faults = Faults::default();
        faults.refuse("k", "too large");
        faults.gather("ignored", Err::<(), _>(Error::invalid("weights", "all zero"))).expect("noted");
        let Err(Error::Invalid(violations)) = faults.end() else { panic!("all are malformed") };
        let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["k", "weights"], "each keeps its own path");
    }

    #[test]
    fn the_gravest_fault_decides_and_all_are_told() {
        let mut faults = Faults::default();
        faults.unmet("manipulations[0]", impossible());
        let gravest = |faults: &Faults| faults.gravest().map(|fault| fault.field().to_owned());
        assert_eq!(gravest(&faults).as_deref(), Some("manipulations[0]"));
        faults.unmet("filters[0].labels[1]", label("rad"));
        faults.unmet("filters[0].labels[2]", label("raid"));
        assert_eq!(gravest(&faults).as_deref(), Some("filters[0].labels[1]"), "the first of its kind");
        faults.refuse("k", "too large");
        assert_eq!(gravest(&faults).as_deref(), Some("k"));
        let text = faults.end().expect_err("refused").to_string();
        for part in [
            "manipulations[0]: no prototype",
            "filters[0].labels[1]: attribute \"color\" has no label \"rad\"",
            "filters[0].labels[2]: attribute \"color\" has no label \"raid\"",
            "k: too large",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_single_fault_is_told_in_its_own_words() {
        let mut faults = Faults::default();
        faults.unmet("manipulations[0]", impossible());
        assert_eq!(faults.to_string(), "no prototype");
    }

    #[test]
    fn the_first_faults_alone_look_for_the_names_there_are() {
        let (mut faults, mut looked) = (Faults::default(), 0);
        for at in 0..FAULTS_MAX {
            let valid = faults.choices("rad", || {
                looked += 1;
                ["red", "blue"]
            });
            assert_eq!(valid.is_empty(), at >= CHOICES_MAX);
            let unknown = Error::UnknownLabel { attribute: "color".into(), label: "rad".into(), valid };
            faults.unmet(format!("filters[0].labels[{at}]"), unknown);
            faults.refuse("k", "too large");
        }
        assert_eq!(looked, CHOICES_MAX);
    }

    #[test]
    fn what_is_noted_and_told_is_bounded() {
        let mut faults = Faults::default();
        for at in 0..10 * FAULTS_MAX {
            faults.unmet(format!("filters[0].labels[{at}]"), label(&"x".repeat(80)));
        }
        assert!(faults.is_full() && faults.all().len() == FAULTS_MAX);
        let text = faults.to_string();
        assert!(text.len() < 2 * TEXT_BYTES && text.ends_with(" more"), "{text}");
    }
}
