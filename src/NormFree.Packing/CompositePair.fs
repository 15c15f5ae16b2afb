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
            let stride, padding, dilation = int64 conv.Stride, int64 conv.Padding, int64 conv.Dilation

            let added =
                torch.nn.functional.conv2d (
                    x,
                    missing,
                    strides = [| stride; stride |],
                    padding = [| padding; padding |],
                    dilation = [| dilation; dilation |],
                    groups = int64 conv.Groups
                )

            result.Plus(added).MoveToOuterDisposeScope()

    /// The values before a layer's sign: β·N(x) + b.
    let beforeSign (composite: CompositePair) (layer: BinaryLayer) x =
        composite.Itself.Run(Evaluate, Graph.beforeSign layer.Convolution, x)

    /// A binary layer's output with sign(0) = +1, from the values before its sign.
    let ofSigns (composite: CompositePair) (layer: BinaryLayer) (x: torch.Tensor) (before: torch.Tensor) =
        use scope = torch.NewDisposeScope()
        let run (graph: Graph) (input: torch.Tensor) = composite.Plus.Run(Evaluate, graph, input)
        let signs = before.IsAtLeast(0.0).``to``(x.dtype).Times(2.0).Plus(-1.0)
        let branch = (run (Graph.afterSign layer.Convolution) signs).Times layer.Convolution.Alpha

        let sum =
            match layer.Shortcut with
            | NoShortcut -> branch
            | Concatenated -> torch.cat ([| x; branch |], 1L)
            | shortcut -> branch.Plus(run (Graph.ofShortcut shortcut) x)

        (match layer.Activation with
         | Some op -> run (Op op) sum
         | None -> sum)
            .MoveToOuterDisposeScope()

    /// <summary>Both engines on a network's tensors.</summary>
    let ofNetwork (network: Network) : CompositePair =
        let tensors = Dictionary(dict network.Tensors)

        let still () = 1.0

        { Itself = CompositeEngine.OfTorch(still, tensors)
          Plus = CompositeEngine(withoutZeros tensors, still, (fun _ _ _ _ -> None), tensors) }
