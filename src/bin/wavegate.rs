//! The `wavegate` command.

fn main() -> std::process::ExitCode {
    wavegate::main()
}
