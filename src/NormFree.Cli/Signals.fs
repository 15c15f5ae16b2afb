namespace NormFree.Cli

open System
open System.Runtime.InteropServices
open System.Threading
open NormFree.Platform

/// Ctrl-C, SIGTERM and SIGHUP: the first signal asks the command to end, the second ends the process.
module internal Signals =

    // nohup starts programs that ignore SIGHUP. They must keep ignoring it.
    let private signals = [ PosixSignal.SIGINT, 2; PosixSignal.SIGTERM, 15; PosixSignal.SIGHUP, 1 ]

    /// <summary>Ends the process without running anything else.</summary>
    let exitAtOnce (code: int) = ProcessControl.ExitAtOnce code

    /// <summary>Calls <c>stop</c> at the first signal, until the result is disposed. A second signal ends the process.</summary>
    let atFirst (stop: PosixSignal -> unit) : IDisposable =
        let count = [| 0 |]

        let handle number (context: PosixSignalContext) =
            context.Cancel <- true

            // On Linux, the second signal only arrives here if it is of another kind than the first.
            if Interlocked.Increment(&count[0]) > 1 then
                exitAtOnce (128 + number)

            stop context.Signal

        let taken = signals |> List.filter (snd >> ProcessControl.IsSignalIgnored >> not)

        let registrations =
            [ for signal, number in taken -> PosixSignalRegistration.Create(signal, handle number) ]

        taken |> List.iter (snd >> ProcessControl.EndAtSecondSignal)

        { new IDisposable with
            member _.Dispose() = registrations |> List.iter _.Dispose() }
