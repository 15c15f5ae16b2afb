namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// What ranks tell one another beside gradients. All of them must call the same functions in the same order.
[<RequireQualifiedAccess>]
module internal Collectives =

    /// This rank's share of all images.
    let share (ranks: IRanks) : Shard = { Rank = ranks.Rank; Ranks = ranks.Size }

    /// Begins to add up sums over the images of all ranks; the function waits for them.
    let beginSums (ranks: IRanks) (mine: Sums) : unit -> Sums =
        let pending = ranks.BeginSum [| mine.LossSum; float mine.First; float mine.AmongFive; float mine.Seen |]

        fun () ->
            let all = pending.Wait()
            { LossSum = all[0]; First = int64 all[1]; AmongFive = int64 all[2]; Seen = int all[3] }

    /// A value of every rank.
    let private values<'T> (ranks: IRanks) (mine: 'T) : 'T list =
        [ for rank, text in Array.indexed (ranks.AllGather(Json.write mine)) do
              match Json.read<'T> text with
              | Ok value -> value
              | Error why -> raise (DistributedException $"What {ranks.NameOf rank} tells cannot be read: {why}.") ]

    /// The images that any rank could not read, with their number counted on from so many.
    let unreadable (ranks: IRanks) before (mine: UnreadableImage list) : UnreadableImage list =
        values ranks mine |> List.concat |> List.mapi (fun i image -> { image with Total = before + i + 1 })

    /// What the first rank says that has something to say.
    let firstOf (ranks: IRanks) (mine: string option) = values ranks (Option.toList mine) |> List.concat |> List.tryHead

    /// Tensors as the mean over all ranks, this one's counting that much; whole numbers stay whole.
    let average (ranks: IRanks) (weight: float) (tensors: torch.Tensor list) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let flat (tensor: torch.Tensor) = tensor.``to``(torch.ScalarType.Float64).reshape(-1L).data<float>().ToArray()

        let means =
            ranks.Sum
                [| for tensor in tensors do
                       yield! Array.map ((*) weight) (flat tensor) |]

        let mutable place = 0

        for tensor in tensors do
            let count = int (tensor.numel ())
            let mean = torch.tensor(means[place .. place + count - 1]).reshape tensor.shape
            let mean = if tensor.is_floating_point () then mean else mean.round ()
            tensor.copy_ mean |> ignore
            place <- place + count

    /// Throws TrainingException where a rank has other things than rank 0, naming them; things come with their names, and are not asked for where
    /// there is one rank.
    let requireSame (ranks: IRanks) (remedy: string) (things: (string * (unit -> string)) list) =
        if ranks.Size > 1 then
            let all = values ranks [ for name, thing in things -> name, thing () ]

            for rank, found in List.indexed all do
                match List.except all.Head found with
                | [] -> ()
                | others ->
                    let names = others |> List.map fst |> String.concat ", "

                    raise (
                        TrainingException
                            $"{ranks.NameOf rank} and {ranks.NameOf 0} do not have the same {names}. {remedy}"
                    )
