from .backends.picture import picture_formats as picture_formats
from .backends.svg import timeline_svg as timeline_svg
from .backends.terminal import text_timeline as text_timeline
from .explore.algorithm_explorer import explore_algorithm as explore_algorithm
from .explore.balance_explorer import explore_balance as explore_balance
from .explore.bubble_explorer import explore_bubble as explore_bubble
from .explore.comparison_explorer import explore_comparison as explore_comparison, explore_estimate as explore_estimate
from .explore.overlap_explorer import explore_overlap as explore_overlap
from .explore.schedule_explorer import explore_schedule as explore_schedule
from .explore.serving_explorer import explore_serving as explore_serving
from .figures import Table as Table, figures_table as figures_table
from .plots.bubble_plots import bubble_terms as bubble_terms, plot_bubble as plot_bubble
from .plots.curve_plots import plot_curves as plot_curves
from .plots.load_plots import plot_loads as plot_loads
from .plots.memory_plots import plot_memory as plot_memory
from .plots.plan_plots import plot_plan as plot_plan
from .plots.profile_plots import plot_profile as plot_profile, plot_segments as plot_segments
from .plots.savings_chart import plot_savings as plot_savings
from .plots.serving_plots import plot_rebalancing as plot_rebalancing, plot_serving as plot_serving
from .plots.timeline_plots import compare as compare, plot as plot
