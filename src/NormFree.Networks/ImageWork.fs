/// <summary>Bounds the memory and the work that one image takes, so that a small file cannot keep a machine busy.</summary>
module internal NormFree.Networks.ImageWork

open NormFree.Spec

/// Values of a map, with the padding around it: 1 GiB of floats.
let private maxValues = 1L <<< 28

/// Multiply-accumulates of all convolutions and the classifier.
let private maxMacs = 5e11

/// Values that the windows of all poolings cover.
let private maxPooled = 1e11

let private values (shape: Shape) = float shape.C * float shape.H * float shape.W

let private padded padding (shape: Shape) =
    float shape.C * float (shape.H + 2 * padding) * float (shape.W + 2 * padding)

/// The values of an operation's input, with the padding that it adds.
let private mapValues (op, input: Shape, _: Shape) =
    match op with
    | Op.Convolve conv -> padded conv.Padding input
    | Op.MaxPool(_, _, padding) -> padded padding input
    | _ -> values input

let private macs (op, _: Shape, output: Shape) =
    match op with
    | Op.Convolve conv -> values output * float conv.FanIn
    | Op.Linear(_, inputs, outputs) -> float inputs * float outputs
    | _ -> 0.0

let private pooled (op, input: Shape, output: Shape) =
    match op with
    | Op.MaxPool(kernel, _, _) -> values output * float (kernel * kernel)
    | Op.AveragePool _
    | Op.GlobalAveragePool -> values input
    | _ -> 0.0

/// <summary>What is wrong with images of this side for a network; nothing if it can process them within the limits.</summary>
let problems (net: NetSpec) (side: int) : string list =
    match Shapes.infer (Lowering.lower net) { C = 3; H = side; W = side } with
    | Error what -> [ $"its images of {side}×{side} do not fit the network: {what}" ]
    | Ok(operations, _) ->
        let exceeds limit what value =
            [ if value > limit then
                  $"an image of {side}×{side} takes {value:G3} {what}; the limit is {limit:G3}" ]

        exceeds (float maxValues) "values in a map" (operations |> List.map mapValues |> List.max)
        @ exceeds maxMacs "multiply-accumulates" (List.sumBy macs operations)
        @ exceeds maxPooled "values in the windows of poolings" (List.sumBy pooled operations)
