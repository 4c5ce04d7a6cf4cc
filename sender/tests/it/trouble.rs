//! What people and programs do that jobs must bear; tests on the whole bed use it too.

/// What Linux takes as one argument or variable, without the NUL at its end.
pub const LONGEST: usize = 131_071;

/// Seventeen kinds of trouble.
pub fn troublesome() -> Vec<String> {
    let texts = [
        "plain",
        "",
        " ",
        " blanks before and behind\t ",
        "'",
        "\"",
        "''\"\"'\\''",
        "`touch /tmp/x`",
        "$HOME ${HOME} $(touch /tmp/x) $((1+1))",
        "\\ \\\\ \\n \\$",
        "a\nb\n\nc\n",
        "carriage\r\nreturn\r",
        "\u{1b}[31mred\u{7}\u{1}",
        "gr\u{fc}\u{df} \u{1f980} \u{200d}\u{feff}",
        "* ? [a-z] {a,b} ~ ! # & | ; < > ( )",
        "name=value,key:value%20=",
        "-e --env --contain",
    ];
    texts.map(str::to_owned).into()
}

/// Looks everywhere for what it should not see, and tries to write what it should not.
pub const SPY: &str = "
    for file in $(find / -xdev -name job.json -o -name result.json 2> /dev/null); do echo \"found $file\"; done
    cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' '\\n'
    echo forged > result.json; echo forged > ../result.json; echo forged > /result.json
    exit 3";
