/// Thousands of schedules of simulated ranks: whatever the delays and failures, a job ends in time, for the right reason, on all ranks.
module NormFree.Tests.Distributed.SimulationTests

open System
open System.Threading
open Expecto
open NormFree.Cli
open NormFree.Distributed
open NormFree.Runs
open NormFree.Training
open NormFree.Tests.Distributed.SimulatedProcess
open NormFree.Tests.Distributed.Simulation

let private seconds (time: float) = TimeSpan.FromSeconds time
let private timeout = seconds 10.0

/// The longest step of a rank and the longest checkpoint of rank 0. With the latency they are shorter than the timeout.
let private longestStep, longestCheckpoint = seconds 2.0, seconds 3.0

/// The longest work of rank 0 after the last step, which others wait for without missing it.
let private longestEnd = seconds 30.0

/// A job: its size, delays, and steps; what fails; which ranks fail with a reason of their own, at which step; and which rank gets a signal, when.
type private Schedule =
    { Seed: int
      Size: int
      Steps: int
      Latency: TimeSpan
      Faults: Fault list
      Failures: (int * int * string) list
      Signal: (int * TimeSpan) option }

/// The kind of schedules: what goes wrong in them.
type private Kind =
    | Undisturbed
    | ShortFreeze
    | LongFreeze
    | Sleeping
    | Killing
    | Hanging
    | Cutting
    | Failing
    | FailingTogether
    | Signalled

let private schedule kind seed : Schedule =
    let random = Random(seed: int)
    let size = 2 + random.Next 3
    let steps = 2 + random.Next 4
    let latency = seconds (List.item (random.Next 3) [ 0.001; 0.1; 1.0 ])
    let rank () = random.Next size
    // Most times are within the run.
    let time () = seconds (random.NextDouble() * 2.0 * float steps)

    let empty =
        { Seed = seed
          Size = size
          Steps = steps
          Latency = latency
          Faults = []
          Failures = []
          Signal = None }

    let reasons = [ "torn"; "bent" ]

    match kind with
    | Undisturbed -> empty
    | ShortFreeze -> { empty with Faults = [ Freezes(rank (), time (), seconds (2.0 * random.NextDouble())) ] }
    | LongFreeze ->
        let length =
            if random.Next 2 = 0 then
                TimeSpan.MaxValue
            else
                seconds (12.0 + 20.0 * random.NextDouble())

        { empty with Faults = [ Freezes(rank (), time (), length) ] }
    | Sleeping ->
        let time, length = time (), seconds (12.0 + 60.0 * random.NextDouble())
        { empty with Faults = [ for rank in 0 .. size - 1 -> Freezes(rank, time, length) ] }
    | Killing -> { empty with Faults = [ Dies(rank (), time ()) ] }
    | Hanging -> { empty with Faults = [ Hangs(rank (), time ()) ] }
    | Cutting -> { empty with Faults = [ IsCut(rank (), time ()) ] }
    | Failing ->
        let failures =
            [ for rank in 0 .. size - 1 do
                  if rank = 0 || random.Next 2 = 0 then
                      (rank + seed) % size, random.Next steps, reasons[random.Next 2] ]

        { empty with Failures = failures }
    | FailingTogether ->
        let step = random.Next steps
        { empty with Failures = [ for rank in 0 .. size - 1 -> rank, step, "torn" ] }
    | Signalled -> { empty with Signal = Some(rank (), time ()) }

/// What a rank did: the sums that it received, and the step after which it stopped.
type private Log() =
    member val Sums = ResizeArray<float>()
    member val Stopped: int option = None with get, set
    /// Whether the command is done.
    member val IsDone = false with get, set

/// A training in small: checks that all ranks are alike, then steps with a sum and an agreement to stop, and a checkpoint every other step.
let private train
    (schedule: Schedule)
    (log: Log)
    (cancellation: CancellationToken)
    (simulation: Simulation)
    (ranks: IRanks)
    =
    Collectives.requireSame ranks "Give all ranks the same." [ "seed", (fun () -> string schedule.Seed) ]
    use stop = new StageStop({ RunOptions.Default with Ranks = ranks; Cancellation = cancellation })
    let mutable step = 0

    while step < schedule.Steps && not stop.IsRequested do
        simulation.Sleep ranks (simulation.AnyTime longestStep)

        for rank, failing, reason in schedule.Failures do
            if rank = ranks.Rank && failing = step then
                raise (TrainingException reason)

        log.Sums.Add(Array.head (ranks.Sum(float (step * 10 + ranks.Rank))))
        stop.Synchronise()
        step <- step + 1

        if step % 2 = 0 then
            if ranks.Rank = 0 then
                simulation.Sleep ranks (simulation.AnyTime longestCheckpoint)

            ranks.Barrier()

    if stop.IsRequested then
        log.Stopped <- Some step
        raise (InterruptedException "interrupted. All steps are kept.")

    simulation.Sleep ranks (simulation.AnyTime(if ranks.Rank = 0 then longestEnd else longestStep))
    log.IsDone <- true

/// Runs a schedule as the tool runs a job: the result, and the logs of the ranks.
let private run (schedule: Schedule) =
    let simulation = Simulation(schedule.Seed, schedule.Size, timeout, schedule.Latency, schedule.Faults)
    let logs = [| for _ in 1 .. schedule.Size -> Log() |]
    let sources = [| for _ in 1 .. schedule.Size -> new CancellationTokenSource() |]

    match schedule.Signal with
    | Some(rank, time) -> simulation.At time (fun () -> sources[rank].Cancel())
    | None -> ()

    let command (simulation: Simulation) (ranks: IRanks) =
        let log, source = logs[ranks.Rank], sources[ranks.Rank]

        try
            train schedule log source.Token simulation |> Job.runOnClock (simulation.Sleep ranks) ranks timeout

            0
        with :? AlreadyReportedException as reported ->
            int reported.Outcome

    simulation.Run command, logs

let private lines (result: Result) =
    [ for ended in result.Ends do
          yield! ended.Err.Split('\n', StringSplitOptions.RemoveEmptyEntries) ]

let private codes (result: Result) = [ for ended in result.Ends -> ended.Code ]

/// The sums of a step are the same on all ranks that received them, and right.
let private expectSums (schedule: Schedule) (logs: Log[]) =
    for log in logs do
        for step, sum in Seq.indexed log.Sums do
            let expected = Seq.sum [ for rank in 0 .. schedule.Size - 1 -> float (step * 10 + rank) ]
            Expect.equal sum expected $"the sum of step {step}"

let private expectSuccess (schedule: Schedule) (result: Result) =
    Expect.allEqual (codes result) (Some 0) "exit codes"
    Expect.isEmpty (lines result) "error streams"
    Expect.isEmpty result.Missed "missed ranks"

/// The job failed on every rank, and nothing else was printed than these reasons.
let private expectFailure (isReason: string -> bool) (result: Result) =
    Expect.isFalse (List.contains (Some 0) (codes result)) "a rank that succeeded"

    for line in lines result do
        Expect.isTrue (isReason line) $"an unexpected line: {line}"

let private succeeded (result: Result) = codes result |> List.forall ((=) (Some 0))

/// All ranks had done their work before the fault; or all others failed within this time after it, and missed nobody but the lost rank.
let private expectEnd (logs: Log[]) (result: Result) rank (time: TimeSpan) (within: TimeSpan) =
    for finder, lost in result.Missed do
        if finder <> rank then
            Expect.equal lost [ rank ] $"missed by rank {finder}"

    if logs |> Array.exists (fun log -> not log.IsDone) then
        Expect.isFalse result.IsStuck "ranks wait for one another forever"
        Expect.isFalse (List.contains (Some 0) (codes result)) "a rank that succeeded"
        Expect.isLessThan (result.Time - time) within $"time from the fault at {time}"

/// Time in which the work of a rank ends, if it does.
let private slack = longestEnd + seconds 12.0

let private check kind (schedule: Schedule) =
    let result, logs = run schedule
    expectSums schedule logs

    if schedule.Faults.IsEmpty then
        Expect.isFalse result.IsStuck "ranks wait for one another forever"

    match kind, schedule.Faults with
    // Rank 0 may work at the end as long as it likes.
    | _, [ Hangs(0, _) ] when logs[0].Sums.Count = schedule.Steps -> ()
    | (Undisturbed | ShortFreeze | Sleeping), _ -> expectSuccess schedule result
    | _, [ Freezes(rank, time, _) ]
    | _, [ Hangs(rank, time) ]
    | _, [ IsCut(rank, time) ] -> expectEnd logs result rank time (timeout + slack)
    | _, [ Dies(rank, time) ] ->
        Expect.isEmpty result.Missed "the launcher ends the job before others miss the rank"
        expectEnd logs result rank time slack
    | Signalled, _ ->
        let stops = [ for log in logs -> log.Stopped ]
        Expect.allEqual stops stops.Head "the step after which the ranks stop"

        if stops.Head.IsNone then
            expectSuccess schedule result
        else
            Expect.allEqual (codes result) (Some 1) "exit codes"
            Expect.equal (lines result) [ "normfree: interrupted. All steps are kept." ] "printed once"
    | FailingTogether, _ ->
        // All fail within a step of one another, which is shorter than the time that they wait for one another.
        Expect.allEqual (codes result) (Some 1) "exit codes"
        Expect.equal (lines result) [ "normfree: torn" ] "printed once"
    | _ ->
        let byName (rank, _, reason) = $"normfree: rank {rank} on node{rank}: {reason}"
        let reasons = List.map byName schedule.Failures

        expectFailure
            (fun line -> line = "normfree: torn" || line = "normfree: bent" || List.contains line reasons)
            result

        let printed = lines result
        Expect.isNonEmpty printed "a reason"
        Expect.hasLength (List.distinct printed) printed.Length "each reason once"

let private kinds =
    [ Undisturbed, "nothing fails: all ranks succeed, with the same sums"
      ShortFreeze, "a rank is suspended for less than the timeout: nobody is missed"
      LongFreeze, "a rank is suspended for longer: it is missed, or it resumes in time, and nobody else is blamed"
      Sleeping, "all ranks are suspended for longer, as on a machine that sleeps: nobody is missed"
      Killing, "a rank dies: all ranks end"
      Hanging, "a rank hangs with heartbeats: it alone is missed"
      Cutting, "a rank loses its network: it alone is missed"
      Failing, "some ranks fail: each reason is printed once"
      FailingTogether, "all ranks fail for one reason: it is printed once"
      Signalled, "one rank gets a signal: all stop after the same step" ]

let private perKind = 300

let tests =
    testList
        "simulated ranks"
        [ for kind, what in kinds do
              test $"{perKind} schedules: {what}" {
                  for seed in 1..perKind do
                      try
                          check kind (schedule kind seed)
                      with problem ->
                          failtest $"seed {seed}, {schedule kind seed}: {problem.Message}"
              }

          test "a schedule is the same whenever it runs" {
              let once () =
                  let result, logs = run (schedule Cutting 7)
                  result, [ for log in logs -> List.ofSeq log.Sums ]

              Expect.equal (once ()) (once ()) "results"
          } ]
