/// Values of tensors, and their comparison with golden values.
module NormFree.Tests.Golden.Agreement

open Expecto
open TorchSharp

/// The gradient after a backward pass.
let gradient (tensor: torch.Tensor) =
    match tensor.grad with
    | null -> failtest "no gradient"
    | gradient -> gradient

let values (tensor: torch.Tensor) =
    tensor.detach().reshape(-1L).``to``(torch.ScalarType.Float64).data<float>().ToArray()

let allClose tolerance (actual: torch.Tensor) (expected: float[]) what =
    let actual = values actual
    Expect.hasLength actual expected.Length what
    let floor = expected |> Array.map abs |> Array.max

    Array.zip actual expected
    |> Array.iteri (fun i (a, e) -> Closeness.close tolerance floor a e $"{what}[{i}]")
