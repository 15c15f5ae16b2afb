/// Makes the n-th system call of a kind fail that concerns a folder, on any thread of this process.
/// A library in C replaces the C library's functions, so only a process that starts with it has failures: one that tests start.
module NormFree.Tests.SystemCalls.Injection

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open Expecto
open NormFree.Platform
open NormFree.Tests

/// A kind of calls, in the order of failing_calls.c.
type Call =
    | Open = 0
    | Read = 1
    | Write = 2
    | Sync = 3
    | Truncate = 4
    | Rename = 5
    | Unlink = 6
    | Map = 7
    | MakeFolder = 8

/// The error numbers of a broken and of a full disk.
let eio, enospc = 5, 28

[<Literal>]
let private Library = "failing_calls"

[<DllImport(Library)>]
extern void private failing_calls_arm(
    [<MarshalAs(UnmanagedType.LPUTF8Str)>] string path,
    int kind,
    int n,
    int error,
    int lasts
)

[<DllImport(Library)>]
extern int private failing_calls_disarm()

/// Builds the library and returns its path. Skips the test where that is not possible.
let build folder =
    let source = Path.Combine(repository, "tests/NormFree.Tests/SystemCalls/failing_calls.c")
    let library = Path.Combine(folder, "failing_calls.so")

    if not (OperatingSystem.IsLinux()) then
        skiptest "LD_PRELOAD needs Linux"

    if not (File.Exists "/usr/bin/gcc") then
        skiptest "gcc is not installed (Debian: gcc)"

    use compiler = Process.Start("/usr/bin/gcc", [ "-shared"; "-fPIC"; "-O2"; "-o"; library; source ])
    compiler.WaitForExit()
    Expect.equal compiler.ExitCode 0 "gcc"
    library

/// Binds this process to the library with which it was started. What this project calls in libc by itself is bound too.
let attach (library: string) =
    let resolve (name: string) (_: Reflection.Assembly) (_: Nullable<DllImportSearchPath>) =
        if name = Library || name = "libc" then NativeLibrary.Load library else 0n

    for owner in [ typeof<Call>.Assembly; typeof<ProcessControl>.Assembly ] do
        NativeLibrary.SetDllImportResolver(owner, DllImportResolver resolve)

/// Runs an action in which the n-th call of a kind that concerns the folder fails, and if the failure lasts, all later ones too. Returns
/// whether there were as many.
let failing (folder: string) (call: Call) n error lasts (action: unit -> unit) =
    failing_calls_arm (folder, int call, n, error, (if lasts then 1 else 0))

    let mutable wasHit = false

    try
        action ()
    finally
        wasHit <- failing_calls_disarm () > 0

    wasHit
