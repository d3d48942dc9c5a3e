//! The arguments of the commands.

use super::cluster::Form;

/// What both commands can be asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub count: u32,
    pub clients: usize,
    pub seed: Option<u64>,
    pub forms: Vec<Form>,
}

/// Reads the arguments of this process; ends it where they are none.
pub fn read(program: &str) -> Options {
    parse(std::env::args().skip(1)).unwrap_or_else(|why| {
        let modes = "sync|sync_async|strict_sync";
        eprintln!("error: {why}\nusage: {program} [--count N] [--mode {modes}]... [--clients N] [--seed N]");
        std::process::exit(2)
    })
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { count: 20, clients: 16, seed: None, forms: Vec::new() };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("`{name}` needs a value"))?;
        let bad = || format!("`{name} {value}` is not understood");
        let number = || value.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(bad);
        match name.as_str() {
            "--count" => options.count = number()?,
            "--clients" => options.clients = usize::try_from(number()?).expect("it is 32 bits"),
            "--seed" => options.seed = Some(value.parse().map_err(|_| bad())?),
            "--mode" => options.forms.push(match value.as_str() {
                "sync" => Form::Sync,
                "sync_async" => Form::SyncAndAsync,
                "strict_sync" => Form::StrictSync,
                _ => return Err(bad()),
            }),
            _ => return Err(bad()),
        }
    }
    if options.forms.is_empty() {
        options.forms = vec![Form::Sync, Form::StrictSync];
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let read = |text: &str| parse(text.split_whitespace().map(str::to_owned));
        let options = read("--count 3 --mode sync_async --seed 7").expect("they are good");
        assert_eq!((options.count, options.seed), (3, Some(7)));
        assert_eq!(options.forms, [Form::SyncAndAsync]);
        assert_eq!(read("").expect("nothing is needed").forms, [Form::Sync, Form::StrictSync]);
        for bad in ["--count", "--count 0", "--mode fast", "--speed 1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
