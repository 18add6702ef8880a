//! Password hashes: argon2id (RFC 9106) over a peppered password, in the PHC string format.
//!
//! The pepper is applied first, as HMAC-SHA-256 under a key that no database holds, so what argon2
//! sees is always 32 bytes and a stolen table alone gives nothing to guess against.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Length of a hash, bytes.
const OUTPUT: usize = 32;
/// Costs above this are not ours: 4 GiB.
const MOST_MEMORY_KIB: u32 = 4 * 1024 * 1024;

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// A stored hash that is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an argon2id hash")]
pub struct Malformed;

/// The memory of one hashing thread, kept between hashes.
#[derive(Default)]
pub struct Memory {
    kept: Vec<Block>,
    /// What was computed in it, for tests of what an answer costs.
    #[cfg(test)]
    pub(crate) computed: Vec<Cost>,
}

impl Memory {
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.kept.len() < count {
            self.kept.resize(count, Block::new());
        }
        &mut self.kept[..count]
    }
}

/// Hashes a peppered password with a salt of 128 bits.
pub fn hash(
    memory: &mut Memory,
    peppered: &[u8; 32],
    salt: &[u8; 16],
    cost: Cost,
) -> Result<String, Malformed> {
    let params = params(cost)?;
    let output = compute(memory, peppered, salt, &params)?;
    let encoded = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| Malformed)?,
        salt: Some(Salt::new(salt).map_err(|_| Malformed)?),
        hash: Some(Output::new(output.as_slice()).map_err(|_| Malformed)?),
    };
    Ok(encoded.to_string())
}

/// Whether the peppered password makes this hash; compared in constant time.
pub fn verify(memory: &mut Memory, peppered: &[u8; 32], stored: &str) -> Result<bool, Malformed> {
    let (hash, params) = read(stored)?;
    let salt = hash.salt.ok_or(Malformed)?;
    let expected = hash.hash.ok_or(Malformed)?;
    let output = compute(memory, peppered, &salt, &params)?;
    Ok(output.ct_eq(expected.as_bytes()).into())
}

/// Computes what verifying a stored hash costs less than one of today, for nothing but the time that
/// it takes: who measures an answer learns nothing from the age of a hash.
pub fn make_up(
    memory: &mut Memory,
    peppered: &[u8; 32],
    stored: &str,
    cost: Cost,
) -> Result<(), Malformed> {
    let (hash, stored) = read(stored)?;
    let salt = hash.salt.ok_or(Malformed)?;
    match difference(&stored, cost) {
        None => Ok(()),
        Some(rest) => compute(memory, peppered, &salt, &params(rest)?).map(drop),
    }
}

/// What a hash of these parameters costs less, counted in blocks computed: memory times passes. No
/// more memory is used than a hash of today uses.
fn difference(stored: &Params, cost: Cost) -> Option<Cost> {
    let blocks = |memory_kib: u32, passes: u32| u64::from(memory_kib) * u64::from(passes);
    let rest = blocks(cost.memory_kib, cost.passes)
        .checked_sub(blocks(stored.m_cost(), stored.t_cost()))?;
    let passes = rest.div_ceil(u64::from(cost.memory_kib));
    let rest = Cost {
        memory_kib: u32::try_from(rest.checked_div(passes)?).ok()?,
        passes: u32::try_from(passes).ok()?,
        lanes: cost.lanes,
    };
    // Below what argon2 computes at all there is nothing to be seen.
    (rest.memory_kib >= Params::MIN_M_COST * rest.lanes).then_some(rest)
}

/// Whether a stored hash costs less than what is asked today.
pub fn is_cheaper(stored: &str, cost: Cost) -> Result<bool, Malformed> {
    let (_, params) = read(stored)?;
    Ok(params.m_cost() < cost.memory_kib || params.t_cost() < cost.passes)
}

fn read(stored: &str) -> Result<(PasswordHash, Params), Malformed> {
    let hash = PasswordHash::new(stored).map_err(|_| Malformed)?;
    let params = Params::try_from(&hash).map_err(|_| Malformed)?;
    let ours = hash.algorithm == ARGON2ID_IDENT
        && hash.version == Some(Version::V0x13.into())
        && params.output_len() == Some(OUTPUT)
        && params.m_cost() <= MOST_MEMORY_KIB;
    ours.then_some((hash, params)).ok_or(Malformed)
}

fn params(cost: Cost) -> Result<Params, Malformed> {
    Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(OUTPUT)).map_err(|_| Malformed)
}

fn compute(
    memory: &mut Memory,
    peppered: &[u8; 32],
    salt: &[u8],
    params: &Params,
) -> Result<Zeroizing<[u8; OUTPUT]>, Malformed> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut output = Zeroizing::new([0u8; OUTPUT]);
    argon2
        .hash_password_into_with_memory(
            peppered,
            salt,
            output.as_mut_slice(),
            memory.blocks(params.block_count()),
        )
        .map_err(|_| Malformed)?;
    #[cfg(test)]
    memory.computed.push(Cost {
        memory_kib: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    });
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };

    #[test]
    fn a_hash_verifies_its_password_only_and_carries_its_cost() {
        let mut memory = Memory::default();
        let stored = hash(&mut memory, &[1; 32], &[9; 16], COST).unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(verify(&mut memory, &[1; 32], &stored).unwrap());
        assert!(!verify(&mut memory, &[2; 32], &stored).unwrap());
    }

    #[test]
    fn memory_that_another_cost_used_changes_no_hash() {
        let larger = Cost {
            memory_kib: 24 * 1024,
            ..COST
        };
        let fresh = hash(&mut Memory::default(), &[1; 32], &[9; 16], COST).unwrap();
        let mut used = Memory::default();
        hash(&mut used, &[7; 32], &[3; 16], larger).unwrap();
        assert_eq!(hash(&mut used, &[1; 32], &[9; 16], COST).unwrap(), fresh);
    }

    #[test]
    fn agrees_with_the_reference_interface_of_the_library() {
        use argon2::PasswordVerifier;
        let stored = hash(&mut Memory::default(), &[5; 32], &[6; 16], COST).unwrap();
        let parsed = PasswordHash::new(&stored).unwrap();
        assert!(Argon2::default().verify_password(&[5; 32], &parsed).is_ok());
        assert!(
            Argon2::default()
                .verify_password(&[6; 32], &parsed)
                .is_err()
        );
    }

    #[test]
    fn a_cheaper_hash_is_known_as_such() {
        let stored = hash(&mut Memory::default(), &[1; 32], &[9; 16], COST).unwrap();
        assert!(!is_cheaper(&stored, COST).unwrap());
        assert!(is_cheaper(&stored, Cost { passes: 3, ..COST }).unwrap());
        let memory_kib = 32 * 1024;
        assert!(is_cheaper(&stored, Cost { memory_kib, ..COST }).unwrap());
    }

    #[test]
    fn verifying_an_older_hash_is_made_up_to_the_cost_of_today() {
        let cost = |memory_kib, passes| Cost {
            memory_kib,
            passes,
            lanes: 1,
        };
        let blocks = |cost: &Cost| u64::from(cost.memory_kib) * u64::from(cost.passes);
        for (older, today) in [
            (cost(19_456, 2), cost(19_456, 3)),
            (cost(19_456, 2), cost(19_457, 3)),
            (cost(19_456, 2), cost(40_960, 2)),
            (cost(19_456, 2), cost(40_960, 1)),
            (cost(32_768, 2), cost(19_456, 4)),
        ] {
            let stored = hash(&mut Memory::default(), &[1; 32], &[9; 16], older).unwrap();
            let mut memory = Memory::default();
            verify(&mut memory, &[2; 32], &stored).unwrap();
            make_up(&mut memory, &[2; 32], &stored, today).unwrap();
            let spent: u64 = memory.computed.iter().map(blocks).sum();
            // What one pass does not divide evenly is left.
            let left = blocks(&today) - spent;
            assert!(left < u64::from(today.passes), "{:?}", memory.computed);
            let most = memory.computed.iter().map(|one| one.memory_kib).max();
            assert!(most <= Some(older.memory_kib.max(today.memory_kib)));
        }
        let stored = hash(&mut Memory::default(), &[1; 32], &[9; 16], COST).unwrap();
        let mut memory = Memory::default();
        for today in [COST, Cost { passes: 1, ..COST }] {
            make_up(&mut memory, &[2; 32], &stored, today).unwrap();
        }
        assert!(memory.computed.is_empty(), "nothing is missing");
    }

    #[test]
    fn what_is_not_ours_is_malformed() {
        let mut memory = Memory::default();
        for stored in [
            "",
            "hunter2",
            "$argon2i$v=19$m=19456,t=2,p=1$CQkJCQkJCQkJCQkJCQkJCQ$AAAA",
            "$argon2id$v=19$m=4294967295,t=2,p=1$CQkJCQkJCQkJCQkJCQkJCQ$CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk",
        ] {
            assert_eq!(
                verify(&mut memory, &[1; 32], stored),
                Err(Malformed),
                "{stored}"
            );
        }
    }
}
