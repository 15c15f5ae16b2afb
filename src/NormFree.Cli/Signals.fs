namespace NormFree.Cli

open System
open System.Runtime.InteropServices
open System.Threading

/// System calls about signals that .NET does not expose.
module private Native =

    [<DllImport("libc", EntryPoint = "sigaction")>]
    extern int readAction(int signal, nativeint none, byte[] action)

    [<DllImport("libc", EntryPoint = "sigaction")>]
    extern int writeAction(int signal, byte[] action, nativeint none)

    // .NET's own exit runs finalizers first, which may wait for libtorch's threads.
    [<DllImport("libc", EntryPoint = "_exit")>]
    extern void exitAtOnce(int code)

/// Ctrl-C, SIGTERM and SIGHUP: the first signal asks the command to end, the second ends the process.
module internal Signals =

    let private signals = [ PosixSignal.SIGINT, 2; PosixSignal.SIGTERM, 15; PosixSignal.SIGHUP, 1 ]

    /// The size of Linux's struct sigaction on 64 bits, and the byte and the bit of SA_RESETHAND in it.
    let private actionSize, resetByte, resetBit = 152, 139, 0x80uy

    let private hasLayout = OperatingSystem.IsLinux() && Environment.Is64BitProcess

    /// SIG_IGN, the handler of a signal that the process ignores.
    let private ignoring = 1L

    /// nohup starts programs that ignore SIGHUP. They must keep ignoring it.
    let private isIgnored number =
        let action = Array.zeroCreate<byte> actionSize

        hasLayout
        && Native.readAction (number, 0n, action) = 0
        && BitConverter.ToInt64(action, 0) = ignoring

    /// The kernel restores the default action after the first signal. The second then ends the process even if the runtime, its collector or libtorch
    /// is busy, which would delay a .NET handler.
    let private takeOnce number =
        let action = Array.zeroCreate<byte> actionSize

        if Native.readAction (number, 0n, action) = 0 then
            action[resetByte] <- action[resetByte] ||| resetBit
            Native.writeAction (number, action, 0n) |> ignore

    /// <summary>Ends the process without running anything else.</summary>
    let exitAtOnce (code: int) = Native.exitAtOnce code

    /// <summary>Calls <c>stop</c> at the first signal, until the result is disposed. A second signal ends the process.</summary>
    let atFirst (stop: unit -> unit) : IDisposable =
        let count = [| 0 |]

        let handle number (context: PosixSignalContext) =
            context.Cancel <- true

            // On Linux, the second signal only arrives here if it is of another kind than the first.
            if Interlocked.Increment(&count[0]) > 1 then
                exitAtOnce (128 + number)

            stop ()

        let taken = signals |> List.filter (snd >> isIgnored >> not)

        let registrations =
            [ for signal, number in taken -> PosixSignalRegistration.Create(signal, handle number) ]

        if hasLayout then
            taken |> List.iter (snd >> takeOnce)

        { new IDisposable with
            member _.Dispose() = registrations |> List.iter _.Dispose() }
