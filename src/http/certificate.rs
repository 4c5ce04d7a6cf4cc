//! The names in a client certificate, by which its bearer is known.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ALTERNATIVE_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// A longer name is cut: it stands in the log and in the store.
const NAME_MAX: usize = 253;

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The common name first, then the alternative names: host, mail address, URI.
    names: Vec<String>,
}

impl Subject {
    /// The subject of a certificate whose chain was checked.
    pub fn of(certificate: &CertificateDer<'_>) -> Subject {
        let parsed = Certificate::from_der(certificate).ok();
        Subject { names: parsed.as_ref().map(names).unwrap_or_default() }
    }

    /// The name that its bearer goes by: the first, which a renewed certificate has too.
    pub fn name(&self) -> &str {
        self.names.first().map_or("without a name", String::as_str)
    }

    /// The first of its names that fits one of these patterns; `*` in a pattern stands for any text.
    pub fn fitting(&self, patterns: &[String]) -> Option<&str> {
        let is_fitting = |name: &&String| patterns.iter().any(|pattern| fits(pattern, name));
        self.names.iter().find(is_fitting).map(String::as_str)
    }
}

fn names(certificate: &Certificate) -> Vec<String> {
    let subject = &certificate.tbs_certificate;
    let attributes = subject.subject.0.iter().flat_map(|part| part.0.iter());
    let common = attributes.filter(|attribute| attribute.oid == COMMON_NAME).filter_map(|attribute| {
        // Other kinds of text, such as UTF-16, are not used in certificates any more.
        let is_text = attribute.value.tag() != x509_cert::der::Tag::BmpString;
        is_text.then(|| String::from_utf8_lossy(attribute.value.value()).into_owned())
    });
    let extensions = subject.extensions.iter().flatten();
    let alternative = extensions
        .filter(|extension| extension.extn_id == ALTERNATIVE_NAMES)
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|names| names.0)
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            GeneralName::Rfc822Name(name) => Some(name.to_string()),
            GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
            _ => None,
        });
    common.chain(alternative).map(|name| plain(&name)).filter(|name| !name.is_empty()).collect()
}

/// Without what would break a line of a log.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn subject(common: Option<&str>, alternative: &[SanType]) -> Subject {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternative.to_vec();
        Subject::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn a_certificate_goes_by_its_common_name_and_fits_by_each_of_its_names() {
        let names = [
            SanType::DnsName("vk.example.org".try_into().unwrap()),
            SanType::URI("spiffe://site/vk".try_into().unwrap()),
        ];
        let both = subject(Some("kubelet-a"), &names);
        assert_eq!(both.name(), "kubelet-a");
        assert_eq!(subject(None, &names).name(), "vk.example.org");
        assert_eq!(subject(None, &[]).name(), "without a name");
        let name = |pattern: &str| both.fitting(&[pattern.to_owned()]);
        assert_eq!(name("*.example.org"), Some("vk.example.org"), "it goes by the name that lets it in");
        assert_eq!(name("*"), Some("kubelet-a"));
        let fits = |pattern: &str| name(pattern).is_some();
        for good in ["kubelet-a", "kubelet-*", "vk.example.org", "*.example.org", "spiffe://site/*", "*"] {
            assert!(fits(good), "{good}");
        }
        for bad in ["", "kubelet", "kubelet-b", "*.example.com", "kubelet-a*a", "vk.*.org.uk"] {
            assert!(!fits(bad), "{bad}");
        }
        assert_eq!(subject(None, &[]).fitting(&["without a name".to_owned(), "*".to_owned()]), None);
    }

    #[test]
    fn a_name_cannot_break_a_line_and_is_cut() {
        assert_eq!(subject(Some("a\nb\u{1b}[31m"), &[]).name(), "ab[31m");
        assert_eq!(subject(Some(&"x".repeat(1_000)), &[]).name().len(), NAME_MAX);
        assert_eq!(Subject::of(&CertificateDer::from(vec![1, 2, 3])).name(), "without a name");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, is) in [
            ("a*b*c", "abc", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
