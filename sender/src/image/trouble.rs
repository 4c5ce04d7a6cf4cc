//! What a failed pull is about: whether it is worth another try, or another place.

/// What a failure is about, by apptainer's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The registry has spoken: it would say the same again.
    Refused,
    /// There is no room, or no leave to write.
    Disk,
    /// Anything else: the network has more ways to fail than words can be listed.
    Network,
}

impl Trouble {
    /// Of a complaint.
    pub fn of(complaint: &str) -> Trouble {
        const DISK: [&str; 5] = [
            "no space left",
            "quota exceeded",
            "read-only file system",
            "permission denied",
            "input/output error",
        ];
        const REFUSED: [&str; 13] = [
            "manifest unknown",
            "name unknown",
            "name_unknown",
            "not found",
            "unauthorized",
            "authentication required",
            "denied",
            "forbidden",
            "invalid",
            "unsupported",
            "certificate",
            "gave http response to https client",
            "unknown flag",
        ];
        // A mirror does not speak for the registry.
        let complaint = match complaint.split_once("(Mirrors also failed: ") {
            Some((before, rest)) => {
                format!("{before}{}", rest.split_once("]): ").map_or("", |(_, after)| after))
            }
            None => complaint.to_owned(),
        };
        let complaint = complaint.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        match () {
            () if has(&DISK) => Trouble::Disk,
            () if has(&REFUSED) => Trouble::Refused,
            () => Trouble::Network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_registry_itself_refuses_is_final() {
        let pull =
            "While making image from oci registry: error fetching image to cache: failed to get checksum for";
        for (words, trouble) in [
            ("docker://reg/x: reading manifest latest in reg/x: manifest unknown", Trouble::Refused),
            ("docker://x: requested access to the resource is denied", Trouble::Refused),
            ("docker://reg/x: unauthorized: authentication required", Trouble::Refused),
            ("docker://reg:1/x: dial tcp 10.0.0.1:1: connect: connection refused", Trouble::Network),
            ("docker://reg/x: received unexpected HTTP status: 503 Service Unavailable", Trouble::Network),
            (
                "docker://x: (Mirrors also failed: [m/x: reading manifest latest in m/x: manifest unknown]): \
                 docker.io/x: dial tcp: lookup registry-1.docker.io: no such host",
                Trouble::Network,
            ),
            ("docker://x: write /cache/1000/ab.part: no space left on device", Trouble::Disk),
            ("docker://x: open /cache/1000/ab.part: permission denied", Trouble::Disk),
        ] {
            assert_eq!(Trouble::of(&format!("{pull} {words}")), trouble, "{words}");
        }
    }
}
