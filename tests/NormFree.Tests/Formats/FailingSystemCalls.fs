/// Makes system calls of one thread fail, as a broken or full disk does.
module NormFree.Tests.Formats.FailingSystemCalls

open System
open System.Runtime.InteropServices
open System.Threading

/// A system call by its number on 64-bit x86 Linux.
type SystemCall =
    | FSync
    | Rename

    member call.Number =
        match call with
        | FSync -> 74u
        | Rename -> 82u

let eio, enospc, edquot = 5, 28, 122

/// struct sock_filter of linux/filter.h.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Instruction = { Code: uint16; IfTrue: byte; IfFalse: byte; Value: uint32 }

/// struct sock_fprog.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Program = { Length: uint16; Instructions: nativeint }

[<DllImport("libc", SetLastError = true)>]
extern int private prctl(int option, unativeint a, nativeint b, unativeint c, unativeint d)

/// Loads the number of the system call; gives an error for this one and lets all others through.
let private instructions (call: SystemCall) (error: int) =
    [| { Code = 0x20us; IfTrue = 0uy; IfFalse = 0uy; Value = 0u }
       { Code = 0x15us; IfTrue = 0uy; IfFalse = 1uy; Value = call.Number }
       { Code = 0x06us; IfTrue = 0uy; IfFalse = 0uy; Value = 0x00050000u ||| uint32 error }
       { Code = 0x06us; IfTrue = 0uy; IfFalse = 0uy; Value = 0x7fff0000u } |]

/// Installs the filter for the calling thread alone. It stays until the thread ends.
let private install call error =
    let noNewPrivileges, setSeccomp, filterMode = 38, 22, 2un
    let pinned = GCHandle.Alloc(instructions call error, GCHandleType.Pinned)

    let program =
        GCHandle.Alloc({ Length = 4us; Instructions = pinned.AddrOfPinnedObject() }, GCHandleType.Pinned)

    try
        prctl (noNewPrivileges, 1un, 0n, 0un, 0un) = 0
        && prctl (setSeccomp, filterMode, program.AddrOfPinnedObject(), 0un, 0un) = 0
    finally
        program.Free()
        pinned.Free()

/// Runs an action on a thread of its own, on which each such system call fails with an error number. None where this system has no
/// seccomp filters; otherwise what the action threw, if anything.
let run call error (action: unit -> unit) : exn option option =
    if not (OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture = Architecture.X64) then
        None
    else
        let mutable result = None

        let work () =
            if install call error then
                result <-
                    try
                        action ()
                        Some None
                    with thrown ->
                        Some(Some thrown)

        let thread = Thread work
        thread.Start()
        thread.Join()
        result
