//! Which names an expression reads, found in its text: for problems at load, and to explain a condition.
//!
//! A scan of words, not a parser: what it does not understand it leaves out, and the evaluation finds it.

use std::ops::Range;

/// A dotted path in an expression, such as `alert.details.cost`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its words, each with its bytes in the text.
    pub words: Vec<(String, Range<usize>)>,
    /// Whether the last word is called as a function.
    pub is_call: bool,
}

impl Chain {
    /// The words that name values: without that of a method.
    pub fn path(&self) -> Vec<&str> {
        let length = self.words.len() - usize::from(self.is_call).min(self.words.len());
        self.words.iter().take(length).map(|(word, _)| word.as_str()).collect()
    }
}

/// Every dotted path in the text of an expression or of a script, in order, without those that begin with a variable of its own.
pub fn chains(text: &str) -> Vec<Chain> {
    let mut found: Vec<Chain> = Vec::new();
    let mut before = Before::Other;
    for (token, span) in tokens(text) {
        before = match (token, before) {
            (Token::Word(word), Before::DotOfName) => {
                if let Some(chain) = found.last_mut() {
                    chain.words.push((word, span));
                }
                Before::Name
            }
            (Token::Word(word), Before::Name | Before::Other) => {
                found.push(Chain { words: vec![(word, span)], is_call: false });
                Before::Name
            }
            (Token::Dot, Before::Name) => Before::DotOfName,
            (Token::Dot, Before::Dot | Before::DotOfName | Before::Other) => Before::Dot,
            (Token::Open, Before::Name) => {
                if let Some(chain) = found.last_mut() {
                    chain.is_call = true;
                }
                Before::Other
            }
            // A word after a plain dot is a property of something that has no name, such as the value of a function.
            (Token::Word(_), Before::Dot) | (Token::Open | Token::Key | Token::Text(_) | Token::Other, _) => Before::Other,
        };
    }
    let own = declared(text);
    let is_foreign = |chain: &Chain| !chain.path().first().is_some_and(|first| own.iter().any(|it| it == first));
    found.retain(|chain| chain.words.first().is_some_and(|(word, _)| !KEYWORDS.contains(&word.as_str())) && is_foreign(chain));
    found
}

/// The names that a script declares for itself, with `let`, `const`, `for` and `catch`.
pub fn declared(text: &str) -> Vec<String> {
    declarations(text).into_iter().map(|(name, _)| name).collect()
}

/// The same, each with the byte at which it stands.
pub(super) fn declarations(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut is_declaring = false;
    for (token, span) in tokens(text) {
        is_declaring = match token {
            Token::Word(word) if DECLARING.contains(&word.as_str()) => true,
            // `for (item, at) in`: what follows the first name is read too.
            Token::Word(word) if is_declaring && word != "in" => {
                found.push((word, span.start));
                text.get(span.end..).unwrap_or_default().trim_start().starts_with(',')
            }
            // `catch { … }` declares nothing.
            Token::Open | Token::Other => is_declaring && text.get(span) != Some("{"),
            Token::Word(_) | Token::Key | Token::Text(_) | Token::Dot => false,
        };
    }
    found
}

/// The byte at which a word stands first, outside of texts and comments.
pub(super) fn first(text: &str, wanted: &str) -> Option<usize> {
    tokens(text).find_map(|(token, span)| matches!(token, Token::Word(word) if word == wanted).then_some(span.start))
}

/// Every call `name("constant", …)` of a function in an expression's text: the constant, with its bytes.
pub fn calls(text: &str, function: &str) -> Vec<(String, Range<usize>)> {
    let tokens: Vec<_> = tokens(text).collect();
    let starts = tokens.windows(3).filter_map(|three| match three {
        [(Token::Word(word), _), (Token::Open, _), (Token::Text(constant), span)] if word == function => {
            Some((constant.clone(), span.clone()))
        }
        _ => None,
    });
    starts.collect()
}

/// How often a function is called, whatever it is given; where it is made does not count.
pub(super) fn count_calls(text: &str, function: &str) -> usize {
    let tokens: Vec<_> = tokens(text).map(|(token, _)| token).collect();
    let is_call = |two: &&[Token]| matches!(two, [Token::Word(word), Token::Open] if word == function);
    tokens.windows(2).filter(is_call).count()
}

/// The texts that stand in an expression, without their quotes.
pub(super) fn constants(text: &str) -> impl Iterator<Item = String> {
    tokens(text).filter_map(|(token, _)| if let Token::Text(constant) = token { Some(constant) } else { None })
}

/// The byte at which a function is called first, whatever it is given.
pub(super) fn first_call(text: &str, function: &str) -> Option<usize> {
    let tokens: Vec<_> = tokens(text).collect();
    tokens.windows(2).find_map(|two| match two {
        [(Token::Word(word), span), (Token::Open, _)] if word == function => Some(span.start),
        _ => None,
    })
}

/// The constant of a text that is `function("constant")` and nothing else.
pub(super) fn sole_call(text: &str, function: &str) -> Option<String> {
    let tokens: Vec<_> = tokens(text).collect();
    let [(Token::Word(word), _), (Token::Open, _), (Token::Text(constant), quoted), (Token::Other, close)] = tokens.as_slice() else {
        return None;
    };
    let is_text = text.get(quoted.clone()).is_some_and(|it| it.starts_with('"'));
    (word == function && is_text && text.get(close.clone()) == Some(")")).then(|| constant.clone())
}

/// The whole numbers that stand in a text, without the `_` between their digits, each with the byte at which it stands. Rhai would read one
/// that it cannot hold as a fraction, and lose its last digits.
pub(super) fn whole_numbers(text: &str) -> impl Iterator<Item = (String, usize)> {
    tokens(text).filter_map(|(_, span)| {
        let number = text.get(span.clone())?;
        let is_whole = number.starts_with(|c: char| c.is_ascii_digit()) && number.bytes().all(|it| it.is_ascii_digit() || it == b'_');
        is_whole.then(|| (number.replace('_', ""), span.start))
    })
}

const KEYWORDS: &[&str] = &[
    "true", "false", "if", "else", "in", "switch", "let", "const", "for", "while", "loop", "do", "until", "break", "continue", "try",
    "catch", "throw", "fn", "return", "is", "this", "global",
];

const DECLARING: &[&str] = &["let", "const", "for", "catch"];

#[derive(Clone, Copy)]
enum Before {
    Name,
    DotOfName,
    Dot,
    Other,
}

enum Token {
    Word(String),
    Dot,
    Open,
    /// A word before a colon: a key of a map, not a name.
    Key,
    Text(String),
    Other,
}

fn tokens(text: &str) -> impl Iterator<Item = (Token, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let blank = rest.len() - rest.trim_start().len();
        let rest = rest.get(blank..)?;
        let first = rest.chars().next()?;
        let start = at + blank;
        let (token, length) = token(rest, first);
        at = start + length;
        Some((token, start..at))
    })
}

fn token(rest: &str, first: char) -> (Token, usize) {
    let up_to = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return (Token::Other, up_to(rest.find('\n')));
    }
    if rest.starts_with("/*") {
        return (Token::Other, up_to(rest.find("*/").map(|it| it + 2)));
    }
    if rest.starts_with("?.") {
        return (Token::Dot, 2);
    }
    if rest.starts_with("..") {
        return (Token::Other, 2);
    }
    match first {
        '.' => (Token::Dot, 1),
        '(' => (Token::Open, 1),
        '"' | '\'' | '`' => quoted(rest, first),
        _ if first.is_alphabetic() || first == '_' => {
            let length = up_to(rest.find(|c: char| !c.is_alphanumeric() && c != '_'));
            let word = rest.get(..length).unwrap_or_default();
            let after = rest.get(length..).unwrap_or_default().trim_start();
            if after.starts_with(':') { (Token::Key, length) } else { (Token::Word(word.to_owned()), length) }
        }
        _ if first.is_ascii_digit() => (Token::Other, up_to(rest.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_'))),
        _ => (Token::Other, first.len_utf8()),
    }
}

fn quoted(rest: &str, quote: char) -> (Token, usize) {
    let mut is_escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if letter == '\\' {
            is_escaped = true;
        } else if letter == quote {
            return (Token::Text(rest.get(1..at).unwrap_or_default().to_owned()), at + letter.len_utf8());
        }
    }
    (Token::Other, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_outside_of_strings_and_comments() {
        let text = r#"alert.details.cost > 5 && "alert.x" != alert?.kind.trim() /* alert.y */ || f(vars.a, #{b: run.id}).c == true"#;
        let paths: Vec<String> = chains(text).iter().map(|it| it.path().join(".")).collect();
        assert_eq!(paths, ["alert.details.cost", "alert.kind", "", "vars.a", "run.id"]);
    }

    #[test]
    fn variables_of_a_script_are_its_own() {
        let text =
            r"let a = alert.id; const b = a.len; for (item, at) in vars.list { try { a += item.x } catch (err) { throw err.y } } let";
        assert_eq!(declared(text), ["a", "b", "item", "at", "err"]);
        let paths: Vec<String> = chains(text).iter().map(|it| it.path().join(".")).collect();
        assert_eq!(paths, ["alert.id", "vars.list"]);
        assert_eq!(first("`fn` // fn\nfn", "fn"), Some(11));
    }

    #[test]
    fn constants_of_a_call_are_found_with_their_place() {
        let text = r#"lookup("customers", alert.id) ?? lookup( 'x', 1)"#;
        assert_eq!(calls(text, "lookup"), [("customers".to_owned(), 7..18), ("x".to_owned(), 41..44)]);
    }
}
