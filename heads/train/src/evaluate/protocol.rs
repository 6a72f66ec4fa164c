//! What is asked: the paper's protocol (section 7) and that of ADDE-M.

use crate::dataset::{Manipulation, every_change};
use crate::is_special;
use crate::systems::Change;
use lapel_heads::Attribute;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

/// The special attributes of the paper's Table 2. Neckline is not among them; garments with a collar have none.
const TABLE_2: [&str; 5] = ["pattern", "collar", "fastening", "sleeve_length", "color"];
/// The attribute that says what a garment is.
pub const CATEGORY: &str = "category";
/// Below this many pictures every one is a query once, in as many folds, so that the queries are enough.
const SMALL: usize = 1000;
const FOLDS: usize = 5;
/// Share of the pictures that are queries otherwise; the paper takes 2,000 of 21,000.
const QUERY_SHARE: f64 = 0.1;
/// Two-label changes asked of each picture.
const PAIRS: usize = 3;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The query's picture.
    pub picture: usize,
    /// What is changed; empty for direct retrieval.
    pub changes: Vec<Change>,
    /// The labels of a hit, one entry an attribute of the protocol.
    pub wanted: Vec<Option<u16>>,
}

/// Questions to one gallery.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The attributes that a hit must agree on.
    pub attributes: Vec<usize>,
    /// Pictures that are searched.
    pub gallery: Vec<usize>,
    /// Retrieval without a change.
    pub direct: Vec<Asked>,
    /// One label changed.
    pub one: Vec<Asked>,
    /// Two labels changed at once.
    pub two: Vec<Asked>,
}

/// The attributes that the paper's protocol manipulates: those of Table 2 if the set has them, or else all special.
#[must_use]
pub fn special_attributes(attributes: &[Attribute]) -> Vec<usize> {
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..attributes.len()).filter(|a| wanted(&attributes[*a].name)).collect()
    };
    let table_2 = of(&|name| TABLE_2.contains(&name));
    if table_2.len() == TABLE_2.len() { table_2 } else { of(&is_special) }
}

/// The paper's protocol (sections 6 and 7).
///
/// Only pictures labelled on all of `special` take part. Queries and gallery are disjoint: a tenth of the pictures
/// are queries, or, of a small set, each fifth in turn. Each query is asked as it is; with one label of each special
/// attribute in turn set to a random other one that a gallery picture has with all else kept; and with two labels
/// of such a picture. A hit has exactly the wanted labels on all of `special`; a question without one is not asked.
#[must_use]
pub fn seed_trials(labels: &[Vec<Option<u16>>], special: &[usize], seed: u64) -> Vec<Trial> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let whole = |p: &usize| special.iter().all(|a| labels[*p][*a].is_some());
    let mut pictures: Vec<usize> = (0..labels.len()).filter(whole).collect();
    pictures.shuffle(&mut rng);
    let small = pictures.len() < SMALL;
    let size =
        if small { pictures.len().div_ceil(FOLDS) } else { (pictures.len() as f64 * QUERY_SHARE) as usize };
    let folds = pictures.chunks(size.max(1)).take(if small { FOLDS } else { 1 });
    let trial = |queries: &[usize]| {
        let gallery: Vec<usize> = pictures.iter().copied().filter(|p| !queries.contains(p)).collect();
        let rows = Rows { labels, special, gallery: &gallery };
        let mut trial =
            Trial { attributes: special.to_vec(), direct: vec![], one: vec![], two: vec![], gallery: vec![] };
        for query in queries {
            let own = rows.of(*query);
            if gallery.iter().any(|p| rows.of(*p) == own) {
                trial.direct.push(Asked { picture: *query, changes: vec![], wanted: own.clone() });
            }
            for at in 0..special.len() {
                let differ =
                    |other: &[Option<u16>]| (0..own.len()).all(|i| (other[i] != own[i]) == (i == at));
                trial.one.extend(rows.ask(*query, differ, &mut rng));
            }
            let mut pairs: Vec<(usize, usize)> =
                (0..special.len()).flat_map(|a| (a + 1..special.len()).map(move |b| (a, b))).collect();
            pairs.shuffle(&mut rng);
            let two = pairs.into_iter().filter_map(|(a, b)| {
                let differ = |other: &[Option<u16>]| {
                    (0..own.len()).all(|i| (other[i] != own[i]) == (i == a || i == b))
                };
                rows.ask(*query, differ, &mut rng)
            });
            trial.two.extend(two.take(PAIRS));
        }
        Trial { gallery, ..trial }
    };
    folds.map(trial).collect()
}

struct Rows<'a> {
    labels: &'a [Vec<Option<u16>>],
    special: &'a [usize],
    gallery: &'a [usize],
}

impl Rows<'_> {
    fn of(&self, picture: usize) -> Vec<Option<u16>> {
        self.special.iter().map(|a| self.labels[picture][*a]).collect()
    }

    /// A change to the labels, drawn at random, that some gallery picture has which differs as wanted.
    fn ask(
        &self,
        query: usize,
        differ: impl Fn(&[Option<u16>]) -> bool,
        rng: &mut ChaCha8Rng,
    ) -> Option<Asked> {
        let mut possible: Vec<Vec<Option<u16>>> =
            self.gallery.iter().map(|p| self.of(*p)).filter(|row| differ(row)).collect();
        // Each combination of labels is as likely as another, however many pictures carry it.
        possible.sort();
        possible.dedup();
        let wanted = possible.choose(rng)?.clone();
        let own = self.of(query);
        let changed = (0..own.len()).filter(|i| own[*i] != wanted[*i]);
        let changes =
            changed.filter_map(|i| Some(Change { attribute: self.special[i], to: wanted[i]?, from: None }));
        Some(Asked { picture: query, changes: changes.collect(), wanted })
    }
}

/// ADDE-M's protocol: the whole test set is the gallery, the query included; a query says which label it gives up.
///
/// `given` are the set's own questions, over all its attributes. Without any, they are the changes of one label of
/// the special attributes that some picture fulfils exactly, missing labels included, at most `most` of them.
#[must_use]
pub fn adde_trial(
    labels: &[Vec<Option<u16>>],
    attributes: &[Attribute],
    given: &[Manipulation],
    (most, seed): (usize, u64),
) -> Trial {
    let all = |given: &[Manipulation]| -> Vec<usize> {
        (0..attributes.len()).filter(|a| !given.is_empty() || is_special(&attributes[*a].name)).collect()
    };
    let over = all(given);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let questions = if given.is_empty() {
        let rows: Vec<Vec<Option<u16>>> =
            labels.iter().map(|row| over.iter().map(|a| row[*a]).collect()).collect();
        every_change(&rows).into_iter().sample(&mut rng, most)
    } else {
        given.iter().cloned().sample(&mut rng, most)
    };
    let asked = |m: &Manipulation| {
        let given_up = |at: usize| m.removed.iter().find(|(a, _)| *a == at).map(|(_, label)| *label);
        let change =
            |(at, label): &(usize, u16)| Change { attribute: over[*at], to: *label, from: given_up(*at) };
        Asked {
            picture: m.reference,
            changes: m.added.iter().map(change).collect(),
            wanted: m.wanted.clone(),
        }
    };
    let mut one: Vec<Asked> = questions.iter().map(asked).collect();
    one.sort_by_key(|a| a.picture);
    Trial { attributes: over, gallery: (0..labels.len()).collect(), direct: vec![], one, two: vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn attributes() -> Vec<Attribute> {
        let attribute =
            |name: &str| Attribute { name: name.into(), labels: vec!["a".into(), "b".into(), "c".into()] };
        vec![attribute("color"), attribute("collar"), attribute("category")]
    }

    fn labels() -> Vec<Vec<Option<u16>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        (0..200)
            .map(|_| (0..3).map(|_| (rng.random::<f32>() > 0.1).then(|| rng.random_range(0..3))).collect())
            .collect()
    }

    #[test]
    fn the_papers_questions_have_an_answer_in_a_gallery_apart_from_the_queries() {
        let (labels, special) = (labels(), special_attributes(&attributes()));
        assert_eq!(special, [0, 1]);
        let trials = seed_trials(&labels, &special, 1);
        assert_eq!(trials.len(), FOLDS);
        let queries: usize = trials.iter().map(|t| t.direct.len()).sum();
        assert_eq!(queries, labels.iter().filter(|l| l[0].is_some() && l[1].is_some()).count());
        for trial in &trials {
            for asked in trial.direct.iter().chain(&trial.one).chain(&trial.two) {
                assert!(!trial.gallery.contains(&asked.picture));
                let hit = |p: &usize| labels[*p][..2] == asked.wanted[..];
                assert!(trial.gallery.iter().any(hit));
                let changed = (0..2).filter(|a| labels[asked.picture][*a] != asked.wanted[*a]).count();
                assert_eq!(changed, asked.changes.len());
            }
            assert!(
                trial.one.iter().all(|a| a.changes.len() == 1)
                    && trial.two.iter().all(|a| a.changes.len() == 2)
            );
            assert!(!trial.one.is_empty() && !trial.two.is_empty());
        }
    }

    #[test]
    fn adde_asks_over_the_whole_set_and_names_what_is_given_up() {
        let labels = labels();
        let trial = adde_trial(&labels, &attributes(), &[], (50, 1));
        assert_eq!((trial.gallery.len(), trial.one.len(), &trial.attributes[..]), (200, 50, &[0, 1][..]));
        for asked in &trial.one {
            let change = asked.changes[0];
            assert_eq!(change.from, labels[asked.picture][change.attribute]);
            assert!(
                labels.iter().any(|row| row[..2] == asked.wanted[..]),
                "missing labels must match as well"
            );
        }
    }
}
