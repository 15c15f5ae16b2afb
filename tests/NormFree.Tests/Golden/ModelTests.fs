module NormFree.Tests.Golden.ModelTests

open Expecto
open NormFree.Spec
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open TorchSharp

/// Compares the norm, the sum and the first values of each gradient, on the scale of its norm.
let private gradient (network: Network) (expected: System.Text.Json.Nodes.JsonObject) =
    for described, tensor in network.Parameters do
        let golden = (GoldenFiles.get described.Key expected).AsObject()
        let values = Agreement.values (Agreement.gradient tensor)
        let norm = sqrt (values |> Array.sumBy (fun v -> v * v))
        let goldenNorm = GoldenFiles.number "norm" golden
        // Gradients that cancel out have no scale of their own.
        let floor = max goldenNorm 1e-9
        Agreement.close Agreement.tight floor norm goldenNorm $"|d {described.Key}|"
        // A sum of n values of both signs loses up to √n of the norm's precision.
        Agreement.close
            Agreement.tight
            (floor * sqrt (float values.Length))
            (Array.sum values)
            (GoldenFiles.number "sum" golden)
            $"Σ d {described.Key}"

        for i, value in Array.indexed (GoldenFiles.floats "first" golden) do
            Agreement.close Agreement.tight floor values[i] value $"d {described.Key}[{i}]"

let private clipped (network: Network) (expected: System.Text.Json.Nodes.JsonObject) =
    for described, tensor in network.Parameters do
        if Recipe.clips Recipe.published described then
            AdaptiveGradientClipping.Clip(tensor, 0.02) |> ignore

    for described, tensor in network.Parameters do
        let norm = (Agreement.gradient tensor).norm().item<float>()

        Agreement.close
            Agreement.tight
            1e-9
            norm
            (GoldenFiles.number described.Key expected)
            $"|clipped d {described.Key}|"

/// The name of an entry, with its width and its sign's gradient if it has them.
let title entry =
    let optional key = match (entry: System.Text.Json.Nodes.JsonObject)[key] with null -> "" | value -> $" {value}"
    GoldenFiles.name entry + optional "width" + optional "sign"

/// The entry's logits, loss and gradients; the clipped gradients too if it has them.
let agrees entry net =
    test (title entry) {
        use _ = torch.NewDisposeScope()
        use network = GoldenFiles.network net
        let shape = GoldenFiles.integers "input_shape" entry
        let count = int (Array.reduce (*) shape)
        let images = GoldenFiles.tensor shape (GoldenFiles.wave count "input" 1.5 0.0)
        let labels = torch.tensor (GoldenFiles.integers "labels" entry)

        using (torch.no_grad ()) (fun _ ->
            Agreement.allClose
                Agreement.tight
                (network.Forward(images, Evaluate))
                (GoldenFiles.floats "eval_logits" entry)
                "evaluation logits")

        let logits = network.Forward(images, Train)
        let loss = Losses.CrossEntropy(logits, labels)
        loss.backward ()
        Agreement.allClose Agreement.tight logits (GoldenFiles.floats "train_logits" entry) "training logits"
        Agreement.close Agreement.tight 0.0 (loss.item<float>()) (GoldenFiles.number "loss" entry) "loss"
        gradient network ((GoldenFiles.get "grads" entry).AsObject())

        match entry["clipped_grad_norms"] with
        | null -> ()
        | norms -> clipped network (norms.AsObject())
    }

let private quick, others = GoldenFiles.models.Value |> List.partition GoldenFiles.isQuick

let private ofEntry entry = agrees entry (GoldenFiles.spec entry)

let tests = testList "models" (List.map ofEntry quick)

let soak = testList "golden models" (List.map ofEntry others)
