namespace NormFree.Cli

open System
open System.Runtime.InteropServices
open System.Threading

/// What .NET does not offer about signals.
module private Native =

    [<DllImport("libc", EntryPoint = "sigaction")>]
    extern int readAction(int signal, nativeint none, byte[] action)

    [<DllImport("libc", EntryPoint = "sigaction")>]
    extern int writeAction(int signal, byte[] action, nativeint none)

    // .NET's own exit waits for what it runs at the end, and libtorch's threads may be in its way.
    [<DllImport("libc", EntryPoint = "_exit")>]
    extern void exitAtOnce(int code)

/// Ctrl-C and SIGTERM: the first is a wish, the second is not.
module internal Signals =

    let private signals = [ PosixSignal.SIGINT, 2; PosixSignal.SIGTERM, 15 ]

    /// The size of Linux's struct sigaction on 64 bits, and the byte and bit in it of SA_RESETHAND.
    let private actionSize, resetByte, resetBit = 152, 139, 0x80uy

    /// The kernel gives the signal its default action back as soon as it has come once: the second ends the process whatever the runtime, its
    /// collector or libtorch are doing, which a handler in .NET would have to wait for.
    let private takeOnce number =
        let action = Array.zeroCreate<byte> actionSize

        if Native.readAction (number, 0n, action) = 0 then
            action[resetByte] <- action[resetByte] ||| resetBit
            Native.writeAction (number, action, 0n) |> ignore

    /// <summary>Calls <c>stop</c> at the first signal, until what it returns is disposed; a second signal ends the process.</summary>
    let atFirst (stop: unit -> unit) : IDisposable =
        let count = [| 0 |]

        let handle number (context: PosixSignalContext) =
            context.Cancel <- true

            // The second comes here only where it is of the other kind, or the system is not Linux.
            if Interlocked.Increment(&count[0]) > 1 then
                Native.exitAtOnce (128 + number)

            stop ()

        let registrations =
            [ for signal, number in signals -> PosixSignalRegistration.Create(signal, handle number) ]

        if OperatingSystem.IsLinux() && Environment.Is64BitProcess then
            signals |> List.iter (snd >> takeOnce)

        { new IDisposable with
            member _.Dispose() = registrations |> List.iter _.Dispose() }
