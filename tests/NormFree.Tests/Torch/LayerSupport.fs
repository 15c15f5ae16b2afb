/// Random tensors, and comparisons of gradients with central differences.
module NormFree.Tests.Torch.LayerSupport

open System
open Expecto
open NormFree.Tests.Golden
open TorchSharp

let repeatedly = { FsCheckConfig.defaultConfig with maxTest = 40 }

/// n seeded random values in [−2, 2).
let values seed n =
    let random = Random(seed: int)
    Array.init n (fun _ -> 4.0 * random.NextDouble() - 2.0)

let tensor (shape: int list) (values: float[]) = GoldenFiles.tensor [| for side in shape -> int64 side |] values

let leaf shape values = (tensor shape values).requires_grad_ true

let same (actual: torch.Tensor) (expected: float[]) what = Agreement.allClose 1e-12 actual expected what

/// The sum of a result with a different weight for each value.
let weighted (y: torch.Tensor) =
    let weights = Array.init (int (y.numel ())) (fun i -> 1.0 + 0.5 * sin (float i))
    (y * torch.tensor(weights).reshape y.shape).sum()

/// Compares the gradients of a scalar function of leaves with central differences, value by value.
let checkGradients what (inputs: (int list * float[]) list) (f: torch.Tensor list -> torch.Tensor) =
    use _ = torch.NewDisposeScope()
    let leaves = [ for shape, values in inputs -> leaf shape values ]
    (f leaves).backward()
    let step = 1e-5

    let at which index delta =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let moved =
            [ for i, (shape, values) in List.indexed inputs ->
                  tensor shape (values |> Array.mapi (fun j v -> if i = which && j = index then v + delta else v)) ]

        (f moved).item<float>()

    for which, leaf in List.indexed leaves do
        let gradient = Agreement.values (Agreement.gradient leaf)

        for index, found in Array.indexed gradient do
            let difference = (at which index step - at which index -step) / (2.0 * step)
            Closeness.close 1e-6 1.0 found difference $"{what}: gradient {index} of input {which}"
