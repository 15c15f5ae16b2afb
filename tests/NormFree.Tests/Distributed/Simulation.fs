/// Ranks as threads of which one runs at a time, on a virtual clock: seeded delays, deaths, hangs and orders of messages.
/// The same seed gives the same schedule. Lost ranks are detected by the product's own rules (Liveness).
module NormFree.Tests.Distributed.Simulation

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open System.Threading
open NormFree.Distributed
open NormFree.Distributed.Mpi
open NormFree.Tests.Cli
open NormFree.Tests.Distributed.SimulatedProcess

/// A job of ranks. Messages take up to `latency`; a rank that is silent or lags for `timeout` is lost.
type Simulation(seed: int, size: int, timeout: TimeSpan, latency: TimeSpan, faults: Fault list) =
    let random = Random seed
    let events = PriorityQueue<unit -> unit, struct (TimeSpan * int)>()
    let turn = new SemaphoreSlim(0)
    let rounds = Dictionary<struct (Communicator * int), Round>()
    let missed = List<int * int list>()
    let period = TimeSpan.FromSeconds(min 1.0 (timeout.TotalSeconds / 5.0))
    let mutable now = TimeSpan.Zero

    let processes =
        [| for rank in 0 .. size - 1 ->
               Process(rank, (if size > 1 then Some(Liveness(size, rank, timeout, now)) else None)) |]

    let at time action = events.Enqueue(action, struct (time, random.Next()))
    let after delay action = at (now + delay) action
    let anyTime (longest: TimeSpan) = longest * random.NextDouble()
    let isFrozen (one: Process) = one.FrozenUntil > now

    /// Lets a rank run until it pauses or ends.
    let run (one: Process) =
        one.IsPaused <- false
        one.Wake.Release() |> ignore
        turn.Wait()

    /// Ends a pause of a rank, unless it has ended otherwise.
    let rec resume (one: Process) pause =
        if one.IsPaused && one.Pause = pause && not (one.IsHung && one.IsWorking) then
            if isFrozen one then
                if one.FrozenUntil < TimeSpan.MaxValue then
                    at one.FrozenUntil (fun () -> resume one pause)
            else
                run one

    let kill (one: Process) =
        if not one.HasEnded then
            one.IsKilled <- true
            run one

    /// The launcher ends a job some time after a rank ended without leaving it.
    let endJob (delay: TimeSpan) = after delay (fun () -> Array.iter kill processes)

    /// Code of a rank may catch the exception that killed it.
    let requireAlive (one: Process) =
        if one.IsKilled then
            raise Killed

    /// On the thread of a rank: waits for an event that ends the pause.
    let pause (one: Process) (arrange: int -> unit) =
        requireAlive one
        one.Pause <- one.Pause + 1
        one.IsPaused <- true
        arrange one.Pause
        turn.Release() |> ignore
        one.Wake.Wait()
        requireAlive one

    let sleep (one: Process) (time: TimeSpan) =
        let wake = now + time
        one.IsWorking <- true

        while now < wake do
            pause one (fun number -> at wake (fun () -> resume one number))

        one.IsWorking <- false

    /// Delivers a message, later if the receiver is suspended.
    let rec deliver (source: Process) (target: Process) (delay: TimeSpan) action =
        after delay (fun () ->
            if not (source.IsCut || target.IsCut || target.HasEnded) then
                if not (isFrozen target) then
                    action ()
                elif target.FrozenUntil < TimeSpan.MaxValue then
                    deliver source target (target.FrozenUntil - now) action)

    let roundOf key =
        match rounds.TryGetValue key with
        | true, round -> round
        | _ ->
            let round = Round size
            rounds.Add(key, round)
            round

    let complete (round: Round) (one: Process) =
        let sum = Array.map2 (+)
        let values = round.Contributions |> Array.map (fun found -> found.Value.Values) |> Array.reduce sum
        let mine = round.Contributions[one.Rank].Value

        if values.Length > 0 then
            write values mine.Target mine.Number

        round.IsDone[one.Rank] <- true
        resume one one.Pause

    /// Sends a contribution to every rank, each at a time of its own.
    let contribute key (one: Process) contribution =
        requireAlive one
        let round = roundOf key
        round.Contributions[one.Rank] <- Some contribution

        for other in processes do
            let delay = if other = one then TimeSpan.Zero else anyTime latency

            deliver one other delay (fun () ->
                round.Arrived[other.Rank] <- round.Arrived[other.Rank] + 1

                if round.Arrived[other.Rank] = size then
                    complete round other)

        round

    /// Waits until the sum is there; false after the timeout.
    let await (round: Round) (one: Process) (limit: TimeSpan) =
        let deadline = if limit = Timeout.InfiniteTimeSpan then TimeSpan.MaxValue else now + limit

        while not round.IsDone[one.Rank] && now < deadline do
            pause one (fun number ->
                if deadline < TimeSpan.MaxValue then
                    at deadline (fun () -> resume one number))

        round.IsDone[one.Rank]

    let heartbeat (one: Process) (liveness: Liveness) =
        if one.LastHeartbeat < TimeSpan.Zero || now - one.LastHeartbeat >= period then
            one.LastHeartbeat <- now

            for peer in liveness.Peers do
                let count = liveness.Announced

                deliver one processes[peer] (anyTime latency) (fun () ->
                    processes[peer].Liveness.Value.Record(one.Rank, count, now))

    /// What the communication thread of a rank does, several times a period.
    let rec monitor (one: Process) (liveness: Liveness) =
        if not (one.HasEnded || one.IsLeaving) then
            if isFrozen one then
                if one.FrozenUntil < TimeSpan.MaxValue then
                    at one.FrozenUntil (fun () -> monitor one liveness)
            else
                liveness.RecordOwn(int64 one.Requested, one.IsEnding, now)
                heartbeat one liveness

                match liveness.Missing now with
                | [||] -> after (period / 4.0) (fun () -> monitor one liveness)
                | lost ->
                    missed.Add(one.Rank, List.ofArray lost)
                    // The abort of a rank without a network ends only itself; the launcher misses it.
                    if one.IsCut then
                        kill one

                    endJob (anyTime (TimeSpan.FromSeconds 0.1))

    let start fault =
        match fault with
        | Dies(rank, time) ->
            at time (fun () ->
                if not processes[rank].HasEnded then
                    kill processes[rank]
                    endJob (anyTime (TimeSpan.FromSeconds 2.0)))
        | Hangs(rank, time) -> at time (fun () -> processes[rank].IsHung <- true)
        | Freezes(rank, time, length) ->
            at time (fun () ->
                processes[rank].FrozenUntil <- if length = TimeSpan.MaxValue then length else now + length)
        | IsCut(rank, time) -> at time (fun () -> processes[rank].IsCut <- true)

    let ranksOf (one: Process) =
        { new IRanks with
            member _.Size = size
            member _.Rank = one.Rank
            member _.NameOf(rank: int) = $"rank {rank} on node{rank}"

            member _.BeginSum(values, sums, count, number) =
                let contribution = { Values = read values count number; Target = sums; Number = number }
                let round = contribute (struct (Sums, one.Requested)) one contribution
                one.Requested <- one.Requested + 1

                { new IPendingSum with
                    member _.Timestamps = struct (0L, 0L)
                    member _.Wait() = await round one Timeout.InfiniteTimeSpan |> ignore }

            member _.TryFinalBarrier(status, limit) =
                one.IsEnding <- true
                let buffer = Marshal.AllocHGlobal(2 * size * sizeof<float>)

                let contribution =
                    { Values = Array.init size (fun rank -> if rank = one.Rank then float status else 0.0)
                      Target = buffer
                      Number = NumberType.Float64 }

                let round = contribute (struct (Statuses, 0)) one contribution

                if await round one limit then
                    let statuses = read buffer size NumberType.Float64 |> Array.map int64
                    Marshal.FreeHGlobal buffer
                    statuses
                else
                    null

            member _.Leave() =
                one.IsLeaving <- true
                let contribution = { Values = [||]; Target = 0n; Number = NumberType.Float64 }
                let round = contribute (struct (Leaving, 0)) one contribution
                await round one Timeout.InfiniteTimeSpan |> ignore
                one.HasLeft <- true

            member _.Abort(_: int) =
                if not one.IsCut then
                    endJob (anyTime (TimeSpan.FromSeconds 0.1))

                one.IsKilled <- true
                raise Killed }

    /// The thread of a rank.
    let body (one: Process) (command: Simulation -> IRanks -> int) (this: Simulation) =
        one.Wake.Wait()

        let code, _, err =
            ConsoleCapture.run (fun () ->
                try
                    if one.IsKilled then None else Some(command this (ranksOf one))
                with Killed ->
                    None)

        one.End <- { Code = code; Err = err }
        one.HasEnded <- true

        if not one.HasLeft then
            endJob (anyTime (TimeSpan.FromSeconds 2.0))

        turn.Release() |> ignore

    /// Virtual time.
    member _.Now = now

    /// Lets a rank compute, or wait, for a time.
    member _.Sleep (ranks: IRanks) (time: TimeSpan) = sleep processes[ranks.Rank] time

    /// A time of up to this length.
    member _.AnyTime longest = anyTime longest

    /// Calls back at a time.
    member _.At time action = at time action

    /// Runs a command on all ranks to the end.
    member this.Run(command: Simulation -> IRanks -> int) : Result =
        for one in processes do
            let thread = Thread(ThreadStart(fun () -> body one command this), 256 * 1024, IsBackground = true)
            thread.Start()
            one.IsPaused <- true
            let number = one.Pause
            at (anyTime latency) (fun () -> resume one number)
            one.Liveness |> Option.iter (fun liveness -> at TimeSpan.Zero (fun () -> monitor one liveness))

        List.iter start faults
        let runs () = processes |> Array.exists (fun one -> not one.HasEnded)
        let limit = TimeSpan.FromHours 1.0

        while runs () && events.Count > 0 && now < limit do
            match events.TryDequeue() with
            | true, action, struct (time, _) ->
                now <- time
                action ()
            | _ -> ()

        let isStuck, ended = runs (), now
        Array.iter kill processes

        { Ends = [ for one in processes -> one.End ]
          Time = ended
          Missed = List.ofSeq missed
          IsStuck = isStuck }
