/// Shared by the tests of training: a tiny network and exact comparisons.
module NormFree.Tests.Training.Support

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Data
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Golden
open TorchSharp

let norms = [ BatchNorm; NoNorm; BnFree 0.2 ]

/// The paper's norms and the ablation.
let everyNorm = norms @ [ Scaled 0.2 ]

/// ReActNet-small with 8, 16 and 32 channels: 9000 parameters.
let tiny norm =
    ReActNet.reactNetSmall { Width = 0.34; Depth = 1.0 } CifarStem
    |> Net.withClasses 10
    |> Net.withNorm norm

let normName net = Net.tryBinary net |> Option.map (fun body -> Names.norm body.Norm) |> Option.defaultValue net.Name

/// A recipe of two quick epochs.
let quick = { Recipe.corrected with Epochs = 2; Batch = 20; LearningRate = 2e-3 }

/// A handler of events that acts at the nth step.
let atStep n (action: unit -> unit) =
    let mutable steps = 0

    fun event ->
        match event with
        | StepDone _ ->
            steps <- steps + 1

            if steps = n then
                action ()
        | _ -> ()

/// n images of 3×32×32 with values from a key.
let images (dtype: torch.ScalarType) key n =
    let shape = [| int64 n; 3L; 32L; 32L |]
    (GoldenFiles.tensor shape (GoldenFiles.wave (n * 3 * 32 * 32) key 1.5 0.0)).``to`` dtype

let labels n = torch.tensor (Array.init n (fun i -> int64 (i * 7 % 10)))

/// A tensor's bytes.
let bits (tensor: torch.Tensor) =
    use _ = torch.NewDisposeScope()
    tensor.detach().contiguous().bytes.ToArray()

/// All tensors of a network, by name.
let tensorBits (network: Network) = [ for name, tensor in network.Tensors -> name, bits tensor ]

/// Names of the entries that differ.
let differences (a: (string * byte[]) list) (b: (string * byte[]) list) =
    let a, b = Map a, Map b

    [ for name in Seq.distinct (Seq.append a.Keys b.Keys) do
          if a.TryFind name <> b.TryFind name then
              name ]

let sameBits a b what = Expect.isEmpty (differences a b) $"{what}: tensors that differ"

/// All tensors of a checkpoint's file, the optimiser's included.
let fileBits path =
    use file = SafetensorsFile.Open path
    [ for entry in file.Tensors -> entry.Name, file.ReadBytes entry ]

/// Copies a checkpoint file with changed tensors and metadata.
let rewrite path (keep: string -> bool) (metadata: string -> string -> string) =
    use file = SafetensorsFile.Open path
    let writer = SafetensorsWriter()

    for KeyValue(key, text) in file.Metadata do
        if key <> "checksum" then
            writer.Describe(key, metadata key text) |> ignore

    for entry in file.Tensors do
        if keep entry.Name then
            writer.Add(entry.Name, entry.DType, ReadOnlySpan(Seq.toArray entry.Shape), file.ReadBytes entry)
            |> ignore

    writer.DescribeChecksum().Save(path + ".changed")
    path + ".changed"

/// Changes the state of a checkpoint file, as JSON.
let private changeState (change: JsonObject -> unit) path =
    let changed key text =
        if key = "state" then
            let state = (nonNull (JsonNode.Parse(text: string))).AsObject()
            change state
            state.ToJsonString()
        else
            text

    File.Move(rewrite path (fun _ -> true) changed, path, true)

/// Sets a checkpoint's method number, or removes it as in older versions.
let ofMethod (method: int option) path =
    path
    |> changeState (fun state ->
        state["Method"] <- method |> Option.map (fun number -> JsonValue.Create number :> JsonNode) |> Option.toObj)

/// Turns a checkpoint into one from before deviations 14, 15 and 17.
let age path =
    ofMethod None path

    path
    |> changeState (fun state ->
        let recipe = nonNull state["Recipe"]
        let deviations = (nonNull recipe["Deviations"]).AsObject()
        deviations["Rates"] <- JsonValue.Create "Published"
        deviations["SignCentering"] <- JsonValue.Create "Published"
        deviations["StreamCentering"] <- JsonValue.Create "Published")

/// A history without its times.
let timeless (history: EpochRecord list) = history |> List.map (fun record -> { record with Seconds = 0.0 })

let refusal action = messageOf<InvalidFileException, _> action

/// Applies a function to a trained network and disposes the network.
let useTrained (inspect: Trained<'w> -> 'a) (trained: Trained<'w>) =
    use trained = trained
    inspect trained

/// Gradients by name, as float64 values.
let gradients (network: Network) =
    [ for described, tensor in network.Parameters -> described.Key, Agreement.values (Agreement.gradient tensor) ]

/// The number of live tensors in the process, after collections until it is stable.
let alive () =
    let rec collect last same =
        GC.Collect()
        GC.WaitForPendingFinalizers()
        System.Threading.Thread.Sleep 10
        let count = torch.Tensor.TotalCount

        if count = last && same = 3 then count
        elif count = last then collect count (same + 1)
        else collect count 0

    collect -1L 0
