namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// Collective operations of all ranks, except on gradients. All ranks must call the same functions in the same order.
[<RequireQualifiedAccess>]
module internal Collectives =

    /// This rank's shard of the images.
    let shard (ranks: IRanks) : Shard = { Rank = ranks.Rank; Ranks = ranks.Size }

    /// Starts an all-reduce of sums over images. The returned function waits for the result.
    let startSum (ranks: IRanks) (mine: Sums) : unit -> Sums =
        let pending = ranks.BeginSum [| mine.LossSum; float mine.First; float mine.AmongFive; float mine.Seen |]

        fun () ->
            let all = pending.Wait()
            { LossSum = all[0]; First = int64 all[1]; AmongFive = int64 all[2]; Seen = int all[3] }

    /// Gathers a value of every rank.
    let private allGather<'T> (ranks: IRanks) (mine: 'T) : 'T list =
        [ for rank, text in Array.indexed (ranks.AllGather(Json.write mine)) do
              match Json.read<'T> text with
              | Ok value -> value
              | Error why -> raise (DistributedException $"The message of {ranks.NameOf rank} cannot be parsed: {why}.") ]

    /// The unreadable images of all ranks, numbered from `before` + 1.
    let unreadable (ranks: IRanks) before (mine: UnreadableImage list) : UnreadableImage list =
        allGather ranks mine
        |> List.concat
        |> List.mapi (fun i image -> { image with Total = before + i + 1 })

    /// The value of the first rank that has one.
    let firstOf (ranks: IRanks) (mine: string option) =
        allGather ranks (Option.toList mine) |> List.concat |> List.tryHead

    /// Replaces tensors with their weighted mean over all ranks; weights must sum to 1. Integers are rounded.
    let average (ranks: IRanks) (weight: float) (tensors: torch.Tensor list) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let flat (tensor: torch.Tensor) = tensor.``to``(torch.ScalarType.Float64).reshape(-1L).data<float>().ToArray()

        let means =
            ranks.Sum
                [| for tensor in tensors do
                       yield! Array.map ((*) weight) (flat tensor) |]

        let mutable offset = 0

        for tensor in tensors do
            let count = int (tensor.numel ())
            let mean = torch.tensor(means[offset .. offset + count - 1]).reshape tensor.shape
            let mean = if tensor.is_floating_point () then mean else mean.round ()
            tensor.copy_ mean |> ignore
            offset <- offset + count

    /// Throws TrainingException, naming the difference, if a rank's values differ from rank 0's. A single rank evaluates none of them.
    let requireSame (ranks: IRanks) (remedy: string) (values: (string * (unit -> string)) list) =
        if ranks.Size > 1 then
            let all = allGather ranks [ for name, value in values -> name, value () ]

            for rank, found in List.indexed all do
                match List.except all.Head found with
                | [] -> ()
                | others ->
                    let names = others |> List.map fst |> String.concat ", "

                    raise (
                        TrainingException
                            $"{ranks.NameOf rank} and {ranks.NameOf 0} do not have the same {names}. {remedy}"
                    )
