/// This program as one of several ranks that mpirun starts in tests.
module NormFree.Tests.Distributed.RankProgram

open System
open System.Threading
open NormFree.Distributed
open NormFree.Formats.Safetensors
open NormFree.Cli
open NormFree.Spec
open NormFree.Runs
open NormFree.Training
open NormFree.Tests.Training.Support

/// The first command-line argument of a rank.
[<Literal>]
let Flag = "--as-rank"

/// Trains every norm in float64. Fails if the ranks' tensors differ; rank 0 writes them.
let run accumulate (path: string) =
    let ranks = Ranks.Join(TimeSpan.FromSeconds 30.0, (fun (lost: string) -> Console.Error.WriteLine lost))
    let writer = SafetensorsWriter()

    for norm in norms do
        let found = Trainings.inFloat64 accumulate norm ranks

        for name, values in found.Tensors do
            let bytes: byte[] = values |> Array.collect (fun value -> BitConverter.GetBytes(value: float))

            writer.Add(
                $"{Names.norm norm}/{name}",
                DType.F64,
                ReadOnlySpan [| int64 values.Length |],
                ReadOnlyMemory bytes
            )
            |> ignore

            if ranks.AllGather(Convert.ToHexString bytes) |> Array.distinct |> Array.length > 1 then
                failwith $"{name} differs between ranks"

    if ranks.Rank = 0 then
        writer.Save path

    ranks.TryFinalBarrier(0L, Timeout.InfiniteTimeSpan) |> ignore
    ranks.Leave()
    0

/// Fails on the ranks given as `rank:reason,rank:reason`, like a command of the tool. The other ranks end, or wait for the failing ones.
let fail (failures: string) (others: string) =
    let reasons =
        Map
            [ for failure in failures.Split ',' do
                  let parts = failure.Split ':'
                  int parts[0], parts[1] ]

    let command (ranks: IRanks) =
        match reasons.TryFind ranks.Rank with
        | Some reason -> raise (TrainingException reason)
        | None when others = "wait" -> ranks.Barrier()
        | None -> ()

    int (Outcome.guard (fun () -> Job.run None command))

/// Starts MPI on all ranks except rank 1, which hangs.
let missOne () =
    if Environment.GetEnvironmentVariable "OMPI_COMM_WORLD_RANK" = "1" then
        Thread.Sleep Timeout.Infinite

    int (Outcome.guard (fun () -> Job.run (Some(TimeSpan.FromSeconds 0.5)) ignore))
