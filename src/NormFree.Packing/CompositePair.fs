namespace NormFree.Packing

open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open TorchSharp

/// A network in the composite engine, once as it is and once with sign(0) = +1 as in packed networks.
type internal CompositePair = { Itself: CompositeEngine; Plus: CompositeEngine }

module internal CompositePair =

    /// A convolution that uses +1 for binary weights that are exactly 0, by adding their filter's scale.
    let private withoutZeros tensors (conv: ConvolutionSpec) (x: torch.Tensor) =
        use scope = torch.NewDisposeScope()
        let result = Convolutions.plain tensors conv x

        match if conv.Weight = Real then None else FoldedFilters.scaledZeros tensors conv with
        | None -> result.MoveToOuterDisposeScope()
        | Some missing ->
            let stride, padding = int64 conv.Stride, int64 conv.Padding

            let added =
                torch.nn.functional.conv2d (
                    x,
                    missing,
                    strides = [| stride; stride |],
                    padding = [| padding; padding |]
                )

            result.Plus(added).MoveToOuterDisposeScope()

    /// The values before a layer's sign: β·x + b.
    let beforeSign (composite: CompositePair) (layer: FusedLayer) channels x =
        let convolution = layer.Convolution

        let scale =
            [ if convolution.Beta <> 1.0 then
                  Op(Scale convolution.Beta) ]

        composite.Itself.Run(Evaluate, Chain(scale @ [ Op(Shift(convolution.Shift, channels)) ]), x)

    /// A binary layer's output with sign(0) = +1, from the values before its sign.
    let ofSigns (composite: CompositePair) (layer: FusedLayer) (x: torch.Tensor) (before: torch.Tensor) =
        use scope = torch.NewDisposeScope()
        let run (graph: Graph) (input: torch.Tensor) = composite.Plus.Run(Evaluate, graph, input)
        let signs = before.IsAtLeast(0.0).``to``(x.dtype).Times(2.0).Plus(-1.0)

        let branches =
            [| for conv, norm in layer.Convolution.Convolutions do
                   let after = norm |> Option.map (fun key -> Op(Normalise(key, conv.Out))) |> Option.toList
                   run (Chain(Op(Convolve conv) :: after)) signs |]

        let branch = torch.cat(branches, 1L).Times layer.Convolution.Alpha

        let shortcut =
            match layer.Shortcut with
            | Computed graph -> run graph x
            | RepeatedInput -> torch.cat (Array.replicate (int (branch.size 1 / x.size 1)) x, 1L)

        (run (Op(RPReLU layer.Activation)) (branch.Plus shortcut)).MoveToOuterDisposeScope()

    /// <summary>Both engines on a network's tensors.</summary>
    let ofNetwork (network: Network) : CompositePair =
        let tensors = Dictionary(dict network.Tensors)

        { Itself = CompositeEngine(Convolutions.plain tensors, tensors)
          Plus = CompositeEngine(withoutZeros tensors, tensors) }
