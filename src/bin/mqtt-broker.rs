//! `mqtt-broker`: an MQTT broker in the place of `mosquitto`.

use std::process::ExitCode;

fn main() -> ExitCode {
    moustique::server::cli::run(std::env::args_os())
}

/// The three functions of the C library's mathematics that are used here: by the
/// load averages of `$SYS`, by tokio and by the engine of the store. For them
/// alone the whole library would be loaded, which is a fourteenth of what an idle
/// broker has in memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the linker takes these by their names")]
mod mathematics {
    #[unsafe(no_mangle)]
    extern "C" fn exp(x: f64) -> f64 {
        libm::exp(x)
    }

    #[unsafe(no_mangle)]
    extern "C" fn pow(x: f64, y: f64) -> f64 {
        libm::pow(x, y)
    }

    #[unsafe(no_mangle)]
    extern "C" fn logf(x: f32) -> f32 {
        libm::logf(x)
    }
}
