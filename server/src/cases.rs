//! Cases of "Extract Parts?" and what the store keeps of them: it does not know models.

use crate::store::StoredPartsCase;
use lapel_heads::PartsCase;

/// As it is stored.
pub fn stored(case: PartsCase) -> StoredPartsCase {
    match case {
        PartsCase::LowerBody => StoredPartsCase::LowerBody,
        PartsCase::Sleeved => StoredPartsCase::Sleeved,
        PartsCase::Sleeveless => StoredPartsCase::Sleeveless,
    }
}

/// As heads read it.
pub fn of(stored: StoredPartsCase) -> PartsCase {
    match stored {
        StoredPartsCase::LowerBody => PartsCase::LowerBody,
        StoredPartsCase::Sleeved => PartsCase::Sleeved,
        StoredPartsCase::Sleeveless => PartsCase::Sleeveless,
    }
}
