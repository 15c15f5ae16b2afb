module NormFree.Tests.Golden.ModelTests

open System.Text.Json.Nodes
open Expecto
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open TorchSharp

/// Compares the norm, the sum and the first values of each gradient, on the scale of its norm.
let private gradient (network: Network) (expected: JsonObject) =
    for described, tensor in network.Parameters do
        let golden = (GoldenFiles.get described.Key expected).AsObject()
        let values = Agreement.values (Agreement.gradient tensor)
        let norm = sqrt (values |> Array.sumBy (fun v -> v * v))
        let goldenNorm = GoldenFiles.number "norm" golden
        // Gradients that cancel out have no scale of their own.
        let floor = max goldenNorm 1e-9
        Closeness.close Closeness.tight floor norm goldenNorm $"|d {described.Key}|"
        // A sum of n values of both signs loses up to √n of the norm's precision.
        Closeness.close
            Closeness.tight
            (floor * sqrt (float values.Length))
            (Array.sum values)
            (GoldenFiles.number "sum" golden)
            $"Σ d {described.Key}"

        for i, value in Array.indexed (GoldenFiles.floats "first" golden) do
            Closeness.close Closeness.tight floor values[i] value $"d {described.Key}[{i}]"

let private clipped (network: Network) (expected: JsonObject) =
    for described, tensor in network.Parameters do
        if Recipe.clips Recipe.published described then
            AdaptiveGradientClipping.Clip(tensor, 0.02) |> ignore

    for described, tensor in network.Parameters do
        let norm = (Agreement.gradient tensor).norm().item<float>()

        Closeness.close
            Closeness.tight
            1e-9
            norm
            (GoldenFiles.number described.Key expected)
            $"|clipped d {described.Key}|"

/// The name of an entry, with its width and its sign's gradient if it has them.
let title (entry: JsonObject) =
    let optional (key: string) =
        match entry[key] with
        | null -> ""
        | value -> $" {value}"

    GoldenFiles.name entry + optional "width" + optional "sign"

let private images entry =
    let shape = GoldenFiles.integers "input_shape" entry
    let count = int (Array.reduce (*) shape)
    GoldenFiles.tensor shape (GoldenFiles.wave count "input" 1.5 0.0)

/// The logits and the loss of a training pass, which leaves its gradients in the network.
let private pass entry (network: Network) =
    let logits = network.Forward(images entry, Train)
    let loss = Losses.CrossEntropy(logits, torch.tensor (GoldenFiles.integers "labels" entry))
    loss.backward ()
    logits, loss.item<float>()

/// Compares the entry's logits, loss and gradients; the clipped gradients too if it has them.
let compare (entry: JsonObject) net =
    use _ = torch.NewDisposeScope()
    use network = GoldenFiles.network net

    using (torch.no_grad ()) (fun _ ->
        Agreement.allClose
            Closeness.tight
            (network.Forward(images entry, Evaluate))
            (GoldenFiles.floats "eval_logits" entry)
            "evaluation logits")

    let logits, loss = pass entry network
    Agreement.allClose Closeness.tight logits (GoldenFiles.floats "train_logits" entry) "training logits"
    Closeness.close Closeness.tight 0.0 loss (GoldenFiles.number "loss" entry) "loss"
    gradient network ((GoldenFiles.get "grads" entry).AsObject())

    match entry["clipped_grad_norms"] with
    | null -> ()
    | norms -> clipped network (norms.AsObject())

/// Whether changes of the parameters by 1e-14 of their values change logits or gradients by more than the tolerance. Sums of ±s are often exactly 0
/// in networks without shortcuts, norms or shifts; then rounding decides signs and the maxima of poolings.
let isDecidedByRounding entry net =
    use _ = torch.NewDisposeScope()
    use network = GoldenFiles.network net
    use other = GoldenFiles.network net

    using (torch.no_grad ()) (fun _ ->
        for i, (_, tensor) in List.indexed other.Parameters do
            use generator = new torch.Generator(uint64 i)
            let noise = torch.randn (tensor.shape, dtype = tensor.dtype, generator = generator)
            tensor.mul_ (noise.Times(1e-14).Plus 1.0) |> ignore)

    let differ (a: torch.Tensor) (b: torch.Tensor) =
        let a, b = Agreement.values a, Agreement.values b
        let scale = a |> Array.map abs |> Array.max
        Array.exists2 (fun (a: float) b -> abs (a - b) > Closeness.tight * scale) a b

    let (logits, _), (others, _) = pass entry network, pass entry other

    differ logits others
    || List.exists2
        (fun (_, a) (_, b) -> differ (Agreement.gradient a) (Agreement.gradient b))
        network.Parameters
        other.Parameters

let private agrees entry net = test (title entry) { compare entry net }

let private quick, others = GoldenFiles.models.Value |> List.partition GoldenFiles.isQuick

let private ofEntry entry = agrees entry (GoldenFiles.spec entry)

let tests = testList "models" (List.map ofEntry quick)

let soak = testList "golden models" (List.map ofEntry others)
