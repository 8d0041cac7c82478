//! What a client's certificate calls it, to be looked up among the holders. The certificate itself was checked by TLS.
//!
//! Its subject is a text as RFC 4514 and `openssl x509 -subject -nameopt RFC2253` write it, the most specific part first: `CN=billing,O=Example`. Only
//! the whole of it counts: a certificate that another department has signed with the same CN is another one.

#[cfg(feature = "tls")]
use x509_cert::der::Decode;
#[cfg(feature = "tls")]
use x509_cert::{
    Certificate,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// DNS names of one certificate that are looked at. One that has more is for no service.
#[cfg(feature = "tls")]
const NAMES_MAX: usize = 100;

/// Bytes of a name that is told.
const TOLD_BYTES_MAX: usize = 200;

/// Subject and DNS names, as far as they can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    subject: String,
    dns: Vec<String>,
}

impl Names {
    /// The names in a certificate.
    #[cfg(feature = "tls")]
    pub(crate) fn of(der: &[u8]) -> Self {
        let Ok(Certificate { tbs_certificate, .. }) = Certificate::from_der(der) else { return Self::default() };
        let names = tbs_certificate.get::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0);
        let dns = names.unwrap_or_default().into_iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string().to_ascii_lowercase()),
            _ => None,
        });
        // A DNS name has no `=`, so none can pass for a subject.
        let dns = dns.filter(|name| !name.contains('=')).take(NAMES_MAX).collect();
        Self { subject: tbs_certificate.subject.to_string(), dns }
    }

    /// All of them, the subject first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.subject).chain(&self.dns).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The one that says most, to be told to somebody.
    pub(crate) fn told(&self) -> String {
        let Some(name) = self.all().next() else { return "without a name that can be read".to_owned() };
        let told: String = name.chars().flat_map(char::escape_debug).take(TOLD_BYTES_MAX).collect();
        if told.len() < name.len() { format!("{told}…") } else { told }
    }
}

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn names(common_name: &str, organization: Option<&str>, dns: &[&str]) -> Names {
        let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Names::of(certificate.der())
    }

    #[test]
    fn subject_and_dns_names() {
        let found = names("billing", Some("Example"), &["Billing.Internal", "127.0.0.1"]);
        assert_eq!(found.all().collect::<Vec<_>>(), ["CN=billing,O=Example", "billing.internal"]);
        assert_eq!(found.told(), "CN=billing,O=Example");
        assert_eq!(names("billing", None, &[]).subject, "CN=billing");
    }

    /// Nobody becomes somebody else by what stands within a name.
    #[test]
    fn a_name_cannot_hold_another() {
        assert_eq!(names("billing,O=Example", None, &[]).subject, r"CN=billing\,O=Example");
        assert_eq!(names("a+CN=billing", None, &[]).subject, r"CN=a\+CN=billing");
        assert!(names("x", None, &["CN=billing"]).dns.is_empty());
    }

    #[test]
    fn what_cannot_be_read_has_no_name() {
        let none = Names::of(b"no certificate");
        assert_eq!((none.all().count(), none.told().as_str()), (0, "without a name that can be read"));
        let long = names(&"é\u{1b}".repeat(300), None, &[]).told();
        assert!(long.ends_with('…') && !long.contains('\u{1b}') && long.len() < 500, "{long}");
    }
}
