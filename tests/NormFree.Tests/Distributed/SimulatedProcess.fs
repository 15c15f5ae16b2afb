/// The state of simulated ranks: faults, sums and ends.
module NormFree.Tests.Distributed.SimulatedProcess

open System
open System.Runtime.InteropServices
open System.Threading
open NormFree.Distributed
open NormFree.Distributed.Mpi

/// What goes wrong, and when.
type Fault =
    /// The process is killed; the launcher notices and kills the others.
    | Dies of rank: int * at: TimeSpan
    /// The work of the rank between two messages never ends, but its heartbeats continue.
    | Hangs of rank: int * at: TimeSpan
    /// The whole process is suspended for a time.
    | Freezes of rank: int * at: TimeSpan * time: TimeSpan
    /// Nothing from or to the rank arrives any more.
    | IsCut of rank: int * at: TimeSpan

/// Raised in a rank that is killed: it runs no further.
exception Killed

/// How a rank ended.
type End =
    {
        /// What its command returned; None if it was killed.
        Code: int option
        /// Its error stream.
        Err: string
    }

/// What happened in a schedule.
type Result =
    {
        Ends: End list
        /// The virtual time at which the last rank ended.
        Time: TimeSpan
        /// Who missed whom.
        Missed: (int * int list) list
        /// Whether ranks were still waiting when nothing could happen any more.
        IsStuck: bool
    }

/// The values that a rank contributes to a sum and the address of its result.
type Contribution = { Values: float[]; Target: nativeint; Number: NumberType }

/// One sum: a contribution of every rank, and how many of them have arrived at each rank.
type Round(size: int) =
    member val Contributions = Array.zeroCreate<Contribution option> size
    member val Arrived = Array.zeroCreate<int> size
    member val IsDone = Array.zeroCreate<bool> size

/// The state of a rank.
type Process(rank: int, liveness: Liveness option) =
    member _.Rank = rank
    member _.Liveness = liveness
    member val Wake = new SemaphoreSlim(0)
    member val Requested = 0 with get, set
    member val HasEnded = false with get, set
    /// Whether it is in the final barrier.
    member val IsEnding = false with get, set
    /// Whether its communication ends.
    member val IsLeaving = false with get, set
    member val HasLeft = false with get, set
    member val IsKilled = false with get, set
    member val IsHung = false with get, set
    member val IsCut = false with get, set
    member val FrozenUntil = TimeSpan.Zero with get, set
    /// The number of the present pause; a pause ends once.
    member val Pause = 0 with get, set
    member val IsPaused = false with get, set
    /// Whether the rank works, and does not wait for others.
    member val IsWorking = false with get, set
    member val LastHeartbeat = TimeSpan.MinValue with get, set
    member val End = { Code = None; Err = "" } with get, set

/// The communicators of MPI: sums, the final statuses, and the end.
type Communicator =
    | Sums
    | Statuses
    | Leaving

let read (address: nativeint) count number =
    match number with
    | NumberType.Float32 ->
        let values = Array.zeroCreate<float32> count
        Marshal.Copy(address, values, 0, count)
        Array.map float values
    | _ ->
        let values = Array.zeroCreate<float> count
        Marshal.Copy(address, values, 0, count)
        values

let write (values: float[]) (address: nativeint) number =
    match number with
    | NumberType.Float32 -> Marshal.Copy(Array.map float32 values, 0, address, values.Length)
    | _ -> Marshal.Copy(values, 0, address, values.Length)
