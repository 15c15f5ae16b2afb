/// Makes system calls of one thread fail, as a broken or full disk does.
module NormFree.Tests.Formats.FailingSystemCalls

open System
open System.Runtime.InteropServices
open System.Threading

/// A system call of 64-bit x86 Linux that fails.
type SystemCall =
    /// openat that may create a file.
    | Create
    /// openat for reading without further flags: only the writer's opening of a folder.
    | OpenFolder
    | PWrite
    | FTruncate
    | FLock
    | FSync
    | Rename
    | Unlink

let eio, enospc, edquot, eagain, eacces, emfile = 5, 28, 122, 11, 13, 24

/// struct sock_filter of linux/filter.h.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Instruction = { Code: uint16; IfTrue: byte; IfFalse: byte; Value: uint32 }

/// struct sock_fprog.
[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Program = { Length: uint16; Instructions: nativeint }

[<DllImport("libc", SetLastError = true)>]
extern int private prctl(int option, unativeint a, nativeint b, unativeint c, unativeint d)

let private instruction code ifTrue ifFalse value = { Code = code; IfTrue = ifTrue; IfFalse = ifFalse; Value = value }

/// Offsets in struct seccomp_data: the number of the call and the lower half of its third argument.
let private load offset = instruction 0x20us 0uy 0uy offset

let private number, thirdArgument = 0u, 32u
let private equals ifFalse value = instruction 0x15us 0uy ifFalse value
let private hasBits ifFalse bits = instruction 0x45us 0uy ifFalse bits
let private fail error = instruction 0x06us 0uy 0uy (0x00050000u ||| uint32 error)
let private allow = instruction 0x06us 0uy 0uy 0x7fff0000u

let private always call error = [ equals 1uy call; fail error ]

/// For openat with certain flags; loads the number again for what follows.
let private openAt flags error = [ equals 4uy 257u; load thirdArgument; flags; fail error; load number ]

let private instructions (call, error) =
    match call with
    | Create -> openAt (hasBits 1uy 0x40u) error
    | OpenFolder -> openAt (equals 1uy 0u) error
    | PWrite -> always 18u error
    | FTruncate -> always 77u error
    | FLock -> always 73u error
    | FSync -> always 74u error
    | Rename -> always 82u error
    | Unlink -> always 87u error

/// Installs the filter for the calling thread alone. It stays until the thread ends.
let private install failures =
    let noNewPrivileges, setSeccomp, filterMode = 38, 22, 2un
    let filter = List.toArray (load number :: List.collect instructions failures @ [ allow ])
    let pinned = GCHandle.Alloc(filter, GCHandleType.Pinned)

    let program =
        GCHandle.Alloc(
            { Length = uint16 filter.Length; Instructions = pinned.AddrOfPinnedObject() },
            GCHandleType.Pinned
        )

    try
        prctl (noNewPrivileges, 1un, 0n, 0un, 0un) = 0
        && prctl (setSeccomp, filterMode, program.AddrOfPinnedObject(), 0un, 0un) = 0
    finally
        program.Free()
        pinned.Free()

/// Runs an action on a thread of its own, on which the calls fail with error numbers. None if this system has no seccomp filters;
/// otherwise what the action threw, if anything.
let run (failures: (SystemCall * int) list) (action: unit -> unit) : exn option option =
    if not (OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture = Architecture.X64) then
        None
    else
        let mutable result = None

        let work () =
            if install failures then
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
