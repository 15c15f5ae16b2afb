/// The memory of the tests' process.
module NormFree.Tests.Suite.Memory

open System
open System.IO
open System.Runtime.InteropServices
open System.Threading

[<DllImport("libc")>]
extern int private malloc_trim(unativeint keep)

let private resident () =
    let pages = (File.ReadAllText "/proc/self/statm").Split(' ')[1]
    int64 pages * int64 Environment.SystemPageSize

/// The process may keep so much, and may grow by so much before memory is returned again.
let private enough, step = 2_000_000_000L, 500_000_000L

let private gate = obj ()
let mutable private kept = 0L

/// Returns freed memory to the system if the process holds much of it: glibc keeps freed tensors in the arenas of their threads.
let trim () =
    if resident () > max enough (kept + step) && Monitor.TryEnter gate then
        try
            GC.Collect()
            GC.WaitForPendingFinalizers()
            malloc_trim 0un |> ignore
            kept <- resident ()
        finally
            Monitor.Exit gate

/// The largest resident memory so far, in GB.
let peak () =
    let line = File.ReadLines "/proc/self/status" |> Seq.find _.StartsWith("VmHWM:")
    float (line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1]) / 1e6
